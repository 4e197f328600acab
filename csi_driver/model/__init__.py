"""The domain as frozen dataclasses and pure functions. No input or output here."""
