"""Reviews can be closed. What is in doubt is asked about again, however old it is: before, asking stopped after a week."""

from datetime import timedelta

import django.db.models.deletion
from django.db import migrations, models
from django.utils import timezone

#: The old rows become due a few at a time, so that they do not stand in the way of today's payers.
_SPREAD_OVER = timedelta(days=7)
_AT_ONCE = 200


def ask_again(apps, schema_editor):
    attempts = apps.get_model("feexpay", "Attempt").objects.using(schema_editor.connection.alias)
    in_doubt = models.Q(status="review") | models.Q(status="expired", sent_at__isnull=False)
    forgotten = list(attempts.filter(in_doubt, next_poll_at=None).order_by("created_at").values_list("pk", flat=True))
    chunks = [forgotten[start : start + _AT_ONCE] for start in range(0, len(forgotten), _AT_ONCE)]
    now = timezone.now()
    for place, chunk in enumerate(reversed(chunks)):  # the newest first: they are the likeliest to be heard of
        attempts.filter(pk__in=chunk).update(next_poll_at=now + _SPREAD_OVER * place / len(chunks))


class Migration(migrations.Migration):
    dependencies = [
        ("feexpay", "0006_flows"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="payment",
            options={
                "ordering": ("-created_at", "-id"),
                "permissions": (
                    ("reconcile_payment", "Can ask FeexPay about a payment"),
                    ("retry_payment", "Can start a new attempt of a payment"),
                    ("export_payment", "Can export payments to a file"),
                    ("close_review", "Can close the review of a payment, or propose and approve it"),
                ),
                "verbose_name": "payment",
                "verbose_name_plural": "payments",
            },
        ),
        migrations.CreateModel(
            name="ReviewProposal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "decision",
                    models.CharField(
                        choices=[
                            ("credit_taken", "credit what FeexPay took"),
                            ("credit_price", "credit what was asked for"),
                            ("not_paid", "not paid"),
                        ],
                        max_length=16,
                        verbose_name="decision",
                    ),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("gateway_word", models.CharField(max_length=16, verbose_name="FeexPay's status")),
                ("gateway_amount", models.BigIntegerField(blank=True, null=True, verbose_name="FeexPay's amount")),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("api", "API"),
                            ("worker", "Worker"),
                            ("admin", "Admin"),
                            ("host", "Host project"),
                            ("command", "Command"),
                        ],
                        max_length=16,
                        verbose_name="source",
                    ),
                ),
                ("proposed_by", models.CharField(max_length=255, verbose_name="proposed by")),
                ("proposed_at", models.DateTimeField(verbose_name="proposed at")),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("open", "waits for a second person"),
                            ("approved", "approved"),
                            ("replaced", "replaced by another proposal"),
                            ("outdated", "FeexPay says something else since"),
                            ("not_needed", "the review ended without it"),
                        ],
                        default="open",
                        max_length=16,
                        verbose_name="outcome",
                    ),
                ),
                ("ended_by", models.CharField(blank=True, max_length=255, verbose_name="ended by")),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended at")),
                (
                    "attempt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="review_proposals",
                        to="feexpay.attempt",
                        verbose_name="attempt",
                    ),
                ),
            ],
            options={
                "verbose_name": "proposed decision",
                "verbose_name_plural": "proposed decisions",
                "ordering": ("-id",),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("outcome", "open")), fields=("attempt",), name="feexpay_one_open_proposal"
                    )
                ],
            },
        ),
        migrations.RunPython(ask_again, migrations.RunPython.noop),
    ]
