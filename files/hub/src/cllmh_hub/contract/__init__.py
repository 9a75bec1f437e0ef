"""The API's contract as pydantic models: what nodes report, what people ask and what they get."""
