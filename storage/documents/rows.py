"""What is read and written past Beanie, by workers that prepare no documents."""

from pydantic import BaseModel, ConfigDict, Field


class Row(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(alias="_id")
    schema_version: int = 1
