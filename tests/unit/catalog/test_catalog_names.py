import pytest

from boot_resources.catalog import names


def test_a_name_is_written_as_it_is_read() -> None:
    text = "ubuntu/amd64/ga-24.04/noble/stable/20250725"
    name = names.ImageName.parse(text)
    assert str(name) == text
    assert name.product == names.ProductName("ubuntu", "amd64", "ga-24.04", "noble", "stable")
    assert names.ImageName.of(_Row(**name.columns())) == name


@pytest.mark.parametrize("text", ["", "ubuntu", "a/b/c/d/e", "a/b/c/d/e/f/g", "a/b//d/e/f"])
def test_what_has_not_six_parts_is_refused(text: str) -> None:
    with pytest.raises(names.BadImageName) as caught:
        names.ImageName.parse(text)
    assert "os/arch/subarch/release/label/version" in caught.value.cure


class _Row:
    def __init__(self, **columns: str) -> None:
        self.__dict__.update(columns)
