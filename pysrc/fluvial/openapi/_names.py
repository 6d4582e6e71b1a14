"""Members of forms that may be sent under several names, as their models' aliases say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.fields import FieldInfo

Schema = dict[str, Any]


def field_names(model: Any, name: str, info: FieldInfo) -> list[str]:
    """The names under which a form has a model's field, the usual one first."""
    config = model.model_config
    alias = info.validation_alias or info.alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    names = [each for each in choices if isinstance(each, str)]
    if not config.get("validate_by_alias", True):
        names = []
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    return list(dict.fromkeys([*names, name])) if by_name or not names else names


class EitherName:
    """Metadata of a form's model: its schema takes each of a required field's names for it.

    A schema can't say so by `required` alone, which would ask for the alias. Where all fields have
    one name, or the form has one of several models, the schema stays as it is.
    """

    def __init__(self, models: Sequence[Any]) -> None:
        self._groups: list[list[str]] = []
        for name, info in models[0].model_fields.items() if len(models) == 1 else ():
            names = field_names(models[0], name, info)
            if info.is_required() and len(names) > 1:
                self._groups.append(names)

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> Schema:
        """Called by pydantic."""
        schema = handler(core)
        if not self._groups:
            return schema
        if "anyOf" in schema:  # one that may be None
            return {**schema, "anyOf": [self._loosened(each, handler) for each in schema["anyOf"]]}
        return self._loosened(schema, handler)

    def _loosened(self, schema: Schema, handler: GetJsonSchemaHandler) -> Schema:
        if "$ref" not in schema:
            return schema
        known = handler.resolve_ref_schema(schema)
        several = {name for names in self._groups for name in names}
        either = [{"anyOf": [{"required": [name]} for name in names]} for names in self._groups]
        required = [name for name in known.get("required", ()) if name not in several]
        return {**known, "required": required, "allOf": [*known.get("allOf", ()), *either]}
