"""The texts that this package writes from its Jinja2 templates."""

import pathlib
import shlex

import jinja2

_DIRECTORY = pathlib.Path(__file__).with_name("templates")
_ENVIRONMENT = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    # What is written is a unit file or a script, and never a page.
    autoescape=False,  # noqa: S701
)


def render(name: str, **values: object) -> str:
    """Return the text of the template ``name`` with these values in it."""
    return render_text(source(name), **values)


def source(name: str) -> str:
    """Return the template ``name`` itself."""
    return (_DIRECTORY / name).read_text()


def render_text(template: str, **values: object) -> str:
    """Return the text of a template, which another version may have brought, with these values."""
    return _ENVIRONMENT.from_string(template).render(values)


def _in_unit(value: object) -> str:
    """Return a value as systemd.syntax(7) wants it: one word, without its specifiers."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if any(each.isspace() for each in escaped) else escaped


def _in_shell(value: object) -> str:
    return shlex.quote(str(value))


def _in_python(value: object) -> str:
    return repr(str(value) if isinstance(value, pathlib.PurePath) else value)


_ENVIRONMENT.filters |= {"unit": _in_unit, "shell": _in_shell, "python": _in_python}
