"""What the front doors share: the page and the API."""
