"""What tests share: each module offers one thing, and none of it is part of the product."""
