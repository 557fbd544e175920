"""The interface in XML: `interfaceNuu` files to and from `core.form`. Pure."""
