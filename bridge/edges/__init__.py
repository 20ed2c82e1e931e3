"""The doors: one for each foreign system. Foreign exceptions are translated here."""
