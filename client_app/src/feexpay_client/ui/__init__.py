"""The window: theme, widgets, screens and the app. It makes no request and holds no payment rule."""
