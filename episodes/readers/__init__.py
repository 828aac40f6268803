"""One function `root -> VideoCatalog` for each published folder layout."""
