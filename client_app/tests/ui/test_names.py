"""A host app may name its own widgets, kv rules and kv imports as it likes: none of ours has a bare name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[2]

_HOST = """
import re
from pathlib import Path
from tests.ui.offscreen import prepare
prepare()
from kivy.factory import Factory
from kivy.lang import Builder
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.label import Label

import feexpay_client
ui = Path(feexpay_client.__file__).parent / "ui"
rule, alias = re.compile(r"^<(\\w+)", re.M), re.compile(r"^#:import (\\w+)", re.M)
sources = [path.read_text(encoding="utf-8") for path in ui.rglob("*.kv")]
ours = {name for source in sources for name in rule.findall(source)}
aliases = {name for source in sources for name in alias.findall(source)}
bare = {name.removeprefix("FeexPay") for name in ours} | {"Focusable", "Pressable"}
assert len(bare) > 60, sorted(bare)

def define():
    return {name: type(name, (BoxLayout,), {}) for name in sorted(bare)}

def rules():
    return "".join(f"<{name}>:\\n    Label:\\n        text: theme + ' {name}'\\n" for name in sorted(bare))

host = define()
Builder.load_string("#:set theme 'host'\\n#:set space 3\\n#:set tr 4\\n" + rules())
before = dict(Factory.classes)

import feexpay_client.ui.app
from feexpay_client.ui.widgets.row import FeexPayFact
from feexpay_client.ui.widgets.text import FeexPayCard

added = {name for name in set(Factory.classes) - set(before) if "feexpay" in str(Factory.classes[name]["module"])}
added |= {name for name in ours}
print("bare:", sorted(name for name in added if not name.startswith("FeexPay") and name != "PaymentSheet"))
print("aliases:", sorted(name for name in aliases if not name.lower().startswith("feexpay_")))
for name, kind in host.items():
    assert Factory.classes[name] == before[name], name
    made = kind()
    assert [child.text for child in made.children] == [f"host {name}"], name
    assert not made.canvas.before.children, name
assert FeexPayCard().children == []
fact = FeexPayFact(name="Total", value="500")
assert sorted(child.text for child in fact.children) == ["500", "Total"]
print("side by side")
"""


def test_a_host_with_the_same_names_keeps_its_own_widgets_and_gets_ours_whole() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _HOST],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-3:] == ["bare: []", "aliases: []", "side by side"]
