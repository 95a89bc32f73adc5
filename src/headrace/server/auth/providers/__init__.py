"""Ready providers: small files of configuration, at the paths where users import them."""
