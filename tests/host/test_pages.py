"""The quickstart and the page of the checkout, followed as written in an empty folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
_CODE = re.compile(r"^( *)```python\n *# (\S+\.py)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

#: A signed-in person opens the page of the order and pays; nothing listens at the address of the sandbox.
BUY = """
import re
from django.contrib.auth.models import User
from django.test import Client
from django_feexpay.models import Payment
from shop.models import Order

kofi = User.objects.create_user("kofi")
Order.objects.create(number="order-2", user=kofi, price=700)
browser = Client(SERVER_NAME="127.0.0.1")
browser.force_login(kofi)
page = browser.get("/orders/order-2/pay/", follow=True)
here = page.redirect_chain[-1][0]
paid = browser.post(here, {"provider": "mtn_bj", "phone": "01 61 00 00 00"}, follow=True)
payment = Payment.objects.get()
print(page.status_code, paid.status_code, payment.merchant_reference, payment.amount, payment.public_status)
"""


class Project:
    """A folder with what `startproject` and `startapp` make."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self._environment = folder, environment
        self.run("-m", "django", "startproject", "mysite", ".")
        self.run("-m", "django", "startapp", "shop")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, check=False
        )

    def follow(self, page: str) -> None:
        """Write the code of a page: files of mysite get it at their end, others contain nothing else."""
        for indent, name, code in _CODE.findall((DOCS / page).read_text(encoding="utf-8")):
            text = re.sub(f"^{indent}", "", code, flags=re.MULTILINE).replace("127.0.0.1:8801", "127.0.0.1:9")
            with (self.folder / name).open("a" if name.startswith("mysite/") else "w", encoding="utf-8") as file:
                file.write(text)


@pytest.fixture
def project(host_environment: dict[str, str], installed: Path, tmp_path: Path) -> Project:
    return Project(tmp_path, {**host_environment, "PYTHONPATH": str(installed)})


def printed_on(page: str, command: str) -> str:
    """What a page says that a command prints."""
    blocks = re.findall(r"```console\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    (block,) = (block for block in blocks if block.startswith(f"$ {command}\n"))
    return str(block).removeprefix(f"$ {command}\n").partition("\n$ ")[0]


def test_quickstart_prints_what_it_says(project: Project) -> None:
    project.follow("quickstart.md")

    checked = project.run("manage.py", "check")
    migrations = project.run("manage.py", "makemigrations", "shop")
    migrated = project.run("manage.py", "migrate")

    assert (checked.stdout + checked.stderr) == printed_on("quickstart.md", "python manage.py check")
    assert migrations.stdout.strip() == printed_on("quickstart.md", "python manage.py makemigrations shop")
    assert migrated.stdout.endswith("Applying shop.0001_initial... OK\n"), migrated.stderr


def test_checkout_sells_the_order_of_the_quickstart(project: Project) -> None:
    project.follow("quickstart.md")
    project.follow("how-to/checkout.md")
    project.run("manage.py", "makemigrations", "shop")
    project.run("manage.py", "migrate")

    sold = project.run("manage.py", "shell", "-v", "0", "-c", BUY)

    assert sold.stdout == "200 200 order-2 700 pending\n", sold.stderr
