"""Every sentence of the pages, in French and English, and which of the two a request wants."""

from __future__ import annotations

from starlette.requests import Request

from django_feexpay.sandbox import rules
from django_feexpay.sandbox.options import LANGUAGES

_TEXTS = {
    "phone": ("Le téléphone du payeur", "The payer's phone"),
    "phone_short": ("Téléphone", "Phone"),
    "payments": ("Paiements", "Payments"),
    "banner": (
        "Bac à sable, sans argent réel. Pas FeexPay.",
        "Sandbox, no real money. Not FeexPay.",
    ),
    "language": ("Langue", "Language"),
    "skip": ("Aller au contenu", "Skip to content"),
    "nothing_to_pay": ("Rien à payer.", "Nothing to pay."),
    "start_in_shop": ("Lancez un paiement dans la boutique.", "Start a payment in the shop."),
    "question": ("Payer {amount} à {shop}\u00a0?", "Pay {amount} to {shop}?"),
    "pin": ("Code PIN à 4 chiffres", "4-digit PIN"),
    "pin_hint": (
        "4 chiffres au choix\u00a0: c'est un téléphone d'essai.",
        "Any 4 digits: this is a test phone.",
    ),
    "pin_wrong": ("Le code PIN a exactement 4 chiffres.", "The PIN has exactly 4 digits."),
    "approve": ("Approuver", "Approve"),
    "decline": ("Refuser", "Decline"),
    "expire": ("Laisser expirer", "Let it expire"),
    "choose": ("{count} paiements attendent", "{count} payments are waiting"),
    "to_shop": ("à {shop}", "to {shop}"),
    "waiting_one": ("1 autre paiement attend", "1 other payment is waiting"),
    "waiting_many": ("{count} autres paiements attendent", "{count} other payments are waiting"),
    "approved": ("Paiement approuvé", "Payment approved"),
    "declined": ("Paiement refusé", "Payment declined"),
    "failed": ("Paiement échoué", "Payment failed"),
    "expired": ("Demande expirée", "Request expired"),
    "approved_more": ("{amount} payés à {shop}.", "{amount} paid to {shop}."),
    "not_paid": ("Rien n'a été débité.", "Nothing was taken."),
    "back": ("Revenir à l'accueil du téléphone", "Back to the phone's home"),
    "changed": ("Du nouveau est arrivé.", "Something new arrived."),
    "look_again": ("Actualiser", "Update"),
    "magic": ("Numéros magiques", "Magic numbers"),
    "magic_more": (
        "Les deux derniers chiffres du numéro décident. Tout autre numéro attend votre choix ici.",
        "The last two digits of the number decide. Any other number waits for your choice here.",
    ),
    "no_payments": ("Aucun paiement pour l'instant.", "No payments yet."),
    "amount": ("Montant", "Amount"),
    "status": ("État", "Status"),
    "network": ("Réseau", "Network"),
    "msisdn": ("Numéro", "Number"),
    "time": ("Heure", "Time"),
    "reference": ("Référence", "Reference"),
    "webhooks": ("Webhooks", "Webhooks"),
    "no_webhook": ("aucun", "none"),
    "waiting": ("en route", "on its way"),
    "attempts": ("{count} essais", "{count} attempts"),
    "again": ("nouvel essai prévu", "will try again"),
    "given_up": ("abandonné", "given up"),
    "newest_only": ("Les {shown} plus récents de {total}.", "The newest {shown} of {total}."),
    "not_found": ("Cette page n'existe pas", "There is no such page"),
    rules.PENDING: ("En attente", "Pending"),
    rules.SUCCESSFUL: ("Réussi", "Successful"),
    rules.FAILED: ("Échoué", "Failed"),
    rules.LOW_BALANCE: ("solde insuffisant", "low balance"),
    rules.PAYER_NOT_FOUND: ("payeur inconnu", "payer not found"),
    rules.DECLINED: ("refusé par le payeur", "declined by the payer"),
    rules.EXPIRED: ("expiré", "expired"),
}

MAGIC_NUMBERS = {
    "00": ("approuvé après 2 s", "approved after 2 s"),
    "01": ("refusé, solde insuffisant", "refused, low balance"),
    "02": ("payeur inconnu", "payer not found"),
    "03": ("le payeur refuse", "payer declines"),
    "04": ("ne répond jamais", "never answers"),
    "05": ("approuvé après 90 s", "approved after 90 s"),
    "06": ("approuvé, sans webhook", "approved, no webhook"),
    "07": ("approuvé, trois webhooks dans le désordre", "approved, webhook three times and out of order"),
    "08": ("approuvé, webhook avant la réponse", "approved, webhook before the answer"),
    "09": ("débité, puis la connexion tombe", "charged, then the connection drops"),
    "10": ("502 en HTML après le débit", "502 in HTML after charging"),
    "11": ("503 avant le débit", "503 before charging"),
    "12": ("accepté, FAILED dans un 202", "accepted with status FAILED in a 202"),
    "13": ("payé une unité de moins", "paid one unit less"),
    "14": ("faux webhook de succès, en attente", "forged success webhook while pending"),
    "15": ("statut\u00a0: montant en texte dans data", "status answers as a string amount inside data"),
    "16": ("échoué, puis réussi 20 s plus tard", "failed, then successful 20 s later"),
    "17": ("réponse lente, 20 s", "slow answer, 20 s"),
    "18": ("JSON tronqué après le débit", "truncated JSON after charging"),
}


def say(language: str, key: str, **values: object) -> str:
    """The sentence `key` in `language`, its {places} filled."""
    return _TEXTS[key][LANGUAGES.index(language)].format(**values)


def reason_in_words(language: str, reason: str) -> str:
    return say(language, reason) if reason in _TEXTS else reason


def magic_number(language: str, ending: str) -> str:
    return MAGIC_NUMBERS[ending][LANGUAGES.index(language)]


def money(amount: int) -> str:
    """XOF and XAF as the region writes them, with spaces that do not break: 5 000 F CFA."""
    return f"{amount:,} F CFA".replace(",", "\u00a0").replace(" ", "\u00a0")


def asked_language(request: Request) -> str | None:
    """What `?lang=` asks for, if it is a language we speak."""
    lang = request.query_params.get("lang", "")
    return lang if lang in LANGUAGES else None


def accepted_language(header: str, otherwise: str) -> str:
    """The best of our languages in an Accept-Language header."""
    wishes = []
    for position, part in enumerate(header.split(",")):
        tag, _, quality = part.strip().partition(";q=")
        language = tag.split("-")[0].lower()
        if language in LANGUAGES:
            wishes.append((-_quality(quality), position, language))
    return min(wishes)[2] if wishes else otherwise


def _quality(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
