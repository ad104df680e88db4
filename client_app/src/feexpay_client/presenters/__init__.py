"""Between core and screens: one presenter a screen, with plain properties that kv binds to. No layout, no rule."""
