"""A broker that runs elsewhere, as the place where devices are."""
