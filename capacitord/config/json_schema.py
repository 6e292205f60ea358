"""The JSON Schema of site profiles, for editors: made from the models that validate them."""

from __future__ import annotations

import enum
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from capacitord.config.matching import SCHEMA, SCHEMA_NAME
from capacitord.config.profile import Profile
from capacitord.config.units import format_duration

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DESCRIPTION: Final = "A site profile of capacitord: everything that is true of one facility."


class _AsWritten(GenerateJsonSchema):
    """Gives defaults as they would be written, and where there is no such way, none."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = self.generate_inner(schema["schema"])
        default = schema.get("default")
        if isinstance(default, enum.Enum):
            default = default.value
        if isinstance(default, float):
            default = format_duration(int(default))
        return {**inner, "default": default} if isinstance(default, str | int) else inner

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])  # TOML has no null: a key is left out instead

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the signature is pydantic's
        return False


def profile_schema() -> dict[str, Any]:
    """Return the JSON Schema of a site profile."""
    schema = Profile.model_json_schema(by_alias=True, schema_generator=_AsWritten)
    # A condition holds conditions, which pydantic's way of giving a schema for a field can't say.
    for table in (schema, *schema["$defs"].values()):
        for name, key in table.get("properties", {}).items():
            if key.get("title") == SCHEMA_NAME:
                words = {"description": key["description"]} if "description" in key else {}
                table["properties"][name] = {"$ref": f"#/$defs/{SCHEMA_NAME}", **words}
    schema["$defs"][SCHEMA_NAME] = SCHEMA
    return {"$schema": DIALECT, **schema, "title": "Site profile", "description": DESCRIPTION}
