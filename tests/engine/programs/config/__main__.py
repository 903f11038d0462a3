"""Configuration: every kind of YAML value as the program sees it, and defaults of the project."""

# pyright: basic

import pulumi
from pulumi.runtime.config import CONFIG

config = pulumi.Config()
pulumi.export("values", {key: value for key, value in sorted(CONFIG.get().items()) if "secret" not in key})
pulumi.export("number", config.require_int("number"))
pulumi.export("object", config.require_object("object"))
pulumi.export("other", pulumi.Config("other").get("key"))
pulumi.export("absent", config.get("absent"))
pulumi.export("secret", config.require_secret("secret"))
pulumi.export("secret_object", config.require_secret_object("secret-object"))
pulumi.export("project", [pulumi.get_project(), pulumi.get_stack(), pulumi.get_organization()])
