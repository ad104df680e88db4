"""Everything with a window: tokens, widgets, screens and the app. No rule and no HTTP lives here."""
