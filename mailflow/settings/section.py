"""What all tables of the settings file have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)
