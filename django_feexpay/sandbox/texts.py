"""Every text of the pages in French and English, and the choice between the two."""

from __future__ import annotations

from functools import cache

from django_feexpay.sandbox import scenarios
from django_feexpay.sandbox.options import LANGUAGES

_TEXTS = {
    "phone": ("Le téléphone du payeur", "The payer's phone"),
    "phone_short": ("Téléphone", "Phone"),
    "payments": ("Paiements", "Payments"),
    "banner": (
        "Simulateur, sans argent réel. Ce n'est pas FeexPay.",
        "Sandbox, no real money. This is not FeexPay.",
    ),
    "language": ("Langue", "Language"),
    "skip": ("Aller au contenu", "Skip to content"),
    "nothing_to_pay": ("Rien à payer.", "Nothing to pay."),
    "start_in_shop": ("Lancez un paiement dans la boutique.", "Start a payment in the shop."),
    "question": ("Payer {amount} à {shop}\u00a0?", "Pay {amount} to {shop}?"),
    "pin": ("Code PIN à 4 chiffres", "4-digit PIN"),
    "pin_hint": ("4 chiffres au choix\u00a0: c'est un téléphone de test.", "Any 4 digits: this is a test phone."),
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
    "back": ("Revenir à l'accueil du téléphone", "Back to the phone's home screen"),
    "changed": ("Cette page a changé.", "This page has changed."),
    "refresh": ("Actualiser", "Refresh"),
    "magic": ("Numéros magiques", "Magic numbers"),
    "magic_more": (
        "Les deux derniers chiffres du numéro décident du résultat. Tout autre numéro attend votre choix ici.",
        "The last two digits of the number decide the outcome. Any other number waits for your choice here.",
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
    "waiting": ("en attente d'envoi", "not sent yet"),
    "attempts": ("{count} tentatives", "{count} attempts"),
    "again": ("nouvelle tentative prévue", "will try again"),
    "given_up": ("abandonné", "given up"),
    "position": ("{first} à {last} sur {total}", "{first} to {last} of {total}"),
    "pages_of_the_list": ("Pages de la liste", "Pages of the list"),
    "newer": ("← Plus récents", "← Newer"),
    "older": ("Plus anciens →", "Older →"),
    "first_page": ("← Début de la liste", "← Start of the list"),
    "next_page": ("Suite →", "Next →"),
    "operator_page": ("La page de l'opérateur", "The operator's page"),
    "link_page": ("Page de paiement", "Payment page"),
    "pay": ("Payer", "Pay"),
    "cancel": ("Annuler", "Cancel"),
    "fail": ("Faire échouer", "Make it fail"),
    "abandon": (
        "Fermer cette page sans choisir : le paiement reste en attente, puis échoue.",
        "Close this page without choosing: the payment stays pending, then fails.",
    ),
    "back_to_shop": ("Revenir à la boutique", "Back to the shop"),
    "still_open": ("Paiement en attente", "Payment pending"),
    "still_open_more": ("Cette page se met à jour automatiquement.", "This page updates automatically."),
    "method": ("Moyen de paiement", "Payment method"),
    "method_wrong": ("Choisissez un moyen de paiement dans la liste.", "Choose a payment method from the list."),
    "choice_wrong": ("Choisissez un bouton de la page.", "Choose a button on the page."),
    "ending": ("Ce qui se passera", "What will happen"),
    "ending_none": ("Payé immédiatement", "Paid at once"),
    "expire_link": ("Faire expirer le lien", "Expire the link"),
    "link_hint": (
        "Carte de test\u00a0: aucun numéro n'est demandé, rien n'est débité.",
        "A test card: the page asks for no card number and charges nothing.",
    ),
    "link_phone": ("Numéro, avec l'indicatif du pays", "Number, with the country code"),
    "link_phone_hint": ("Pour le mobile money seulement.", "For mobile money only."),
    "phone_wrong": ("Ce numéro n'appartient pas à ce réseau.", "This number does not belong to this network."),
    "link_expired": ("Ce lien a expiré", "This link has expired"),
    "link_used": ("Ce lien a déjà été utilisé", "This link has already been used"),
    "link_closed": ("Ce lien n'est pas disponible", "This link is not available"),
    "sms": ("Votre code {network} : {otp}", "Your {network} code: {otp}"),
    "sms_more": (
        "Saisissez-le dans la boutique. Ne le donnez à personne d'autre.",
        "Enter it in the shop. Do not give it to anyone else.",
    ),
    "one_on_a_page": ("1 paiement attend", "1 payment is waiting"),
    "on_a_page": ("sur la page de l'opérateur", "on the operator's page"),
    "otp_codes": (
        "Codes à usage unique\u00a0: 123456 est correct, 000000 est incorrect, 999999 a expiré.",
        "One-time codes: 123456 is correct, 000000 is wrong, 999999 has expired.",
    ),
    scenarios.INVALID_OTP: ("code incorrect", "wrong code"),
    scenarios.OTP_EXPIRED: ("code expiré", "expired code"),
    scenarios.INSUFFICIENT: ("solde insuffisant", "low balance"),
    "control": ("Contrôle", "Control"),
    "control_more": (
        "Réponses, pannes et webhooks de ce simulateur. Ces réglages sont conservés après un redémarrage.",
        "Answers, faults and webhooks of this sandbox. The settings survive a restart.",
    ),
    "faults_now": ("Pannes en cours", "Faults on now"),
    "faults_none_more": ("Aucune panne : tout fonctionne.", "No fault is on: everything works."),
    "since_word": ("depuis le", "since"),
    "since_the_start": ("depuis le démarrage", "since the start"),
    "settings_changed": ("modifiés\u00a0: {count}", "changed: {count}"),
    "faults_end": (
        "Terminez-les une par une, ou toutes à la fois. Les paiements déjà faits ne changent pas.",
        "End them one by one, or all at once. Payments already made do not change.",
    ),
    "all_normal": ("Tout redevient normal", "Everything normal again"),
    "all_normal_more": (
        "Toutes les pannes se terminent : la boutique règle les paiements en attente, et Orange ou FeexPay ne sont"
        " plus montrés en panne après le prochain paiement réussi.",
        "Every fault ends: the shop settles what is waiting, and Orange or FeexPay no longer show as in trouble after"
        " the next request that succeeds.",
    ),
    "scenarios_title": ("Scénarios", "Scenarios"),
    "scenario_is_on": ("En cours", "On"),
    "start_scenario": ("Lancer", "Start"),
    "end_scenario": ("Terminer", "End"),
    "settings_title": ("Tous les réglages", "Every setting"),
    "group_answers": ("Réponses", "Answers"),
    "group_shop": ("Boutique et réseaux", "Shop and networks"),
    "group_faults": ("Pannes", "Faults"),
    "group_webhooks": ("Webhooks", "Webhooks"),
    "saved": ("Enregistré.", "Saved."),
    "change": ("Enregistrer", "Save"),
    "reset_settings": ("Rétablir les réglages initiaux", "Restore the initial settings"),
    "payment_control": ("Un paiement", "One payment"),
    "for_the_payer": ("Décider à la place du payeur", "Decide for the payer"),
    "force_title": ("Forcer un état", "Force a status"),
    "force_more": (
        "Donne n'importe quel état au paiement, même un état que FeexPay ne devrait jamais donner.",
        "Sets any status, even one that FeexPay should never set.",
    ),
    "force_reason": ("Motif de l'échec", "Reason of the failure"),
    "force_amount": ("Montant payé", "Amount paid"),
    "force_webhook": ("Envoyer le webhook", "Send the webhook"),
    "force": ("Forcer", "Force"),
    "send_title": ("Envoyer un webhook", "Send a webhook"),
    "delay_seconds": ("Délai, en secondes", "Delay, in seconds"),
    "resend": ("Renvoyer le vrai webhook", "Send the true webhook again"),
    "twice": ("Envoyer le vrai webhook deux fois", "Send the true webhook twice"),
    "forge_success": ("Faux : réussi", "Forged: successful"),
    "forge_failure": ("Faux : échoué", "Forged: failed"),
    "forge_amount": ("Faux : 1 F de trop", "Forged: 1 F too much"),
    "forge_reference": ("Faux : référence inconnue", "Forged: unknown reference"),
    "forge_unsigned": ("Faux : sans signature", "Forged: unsigned"),
    "reversed_more": (
        "Le paiement a réussi, puis le payeur a été remboursé.",
        "The payment succeeded, then the payer got the money back.",
    ),
    "after_paid": ("Après le paiement", "After the payment"),
    "reverse": ("Rembourser le payeur", "Give the money back"),
    "charge_again": ("Débiter une seconde fois", "Charge a second time"),
    "webhooks_title": ("Webhooks envoyés", "Webhooks sent"),
    "type": ("Type", "Type"),
    "echo": ("Écho (callback_info)", "Echo (callback_info)"),
    "custom_id": ("custom_id", "custom_id"),
    "paid": ("payé", "paid"),
    "PAYOUT_API": ("versement", "payout"),
    "lost": ("perdu", "lost"),
    scenarios.ACCOUNT_NOT_ACTIVE: ("compte inactif", "account not active"),
    scenarios.AMOUNT_TOO_LOW: ("montant trop faible", "amount too low"),
    scenarios.OPERATOR_ERROR: ("erreur de l'opérateur", "operator's error"),
    "not_found": ("Cette page n'existe pas", "There is no such page"),
    scenarios.PENDING: ("En attente", "Pending"),
    scenarios.SUCCESSFUL: ("Réussi", "Successful"),
    scenarios.FAILED: ("Échoué", "Failed"),
    scenarios.REVERSED: ("Annulé après paiement", "Reversed"),
    scenarios.REFUNDED: ("Remboursé", "Refunded"),
    scenarios.CANCELLED: ("Annulé", "Cancelled"),
    scenarios.LOW_BALANCE: ("solde insuffisant", "low balance"),
    scenarios.PAYER_NOT_FOUND: ("payeur inconnu", "payer not found"),
    scenarios.DECLINED: ("refusé par le payeur", "declined by the payer"),
    scenarios.EXPIRED: ("expiré", "expired"),
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
    "15": ("statut placé dans data, montant en texte", "status answer wrapped in data, with the amount as a string"),
    "16": ("échoué, puis réussi 20 s plus tard", "failed, then successful 20 s later"),
    "17": ("réponse lente, 20 s", "slow answer, 20 s"),
    "18": ("JSON tronqué après le débit", "truncated JSON after charging"),
}


@cache
def texts_in(language: str) -> dict[str, str]:
    return {key: pair[LANGUAGES.index(language)] for key, pair in _TEXTS.items()}


def text(language: str, key: str, **values: object) -> str:
    """The text `key` in `language`, with its {names} replaced."""
    return texts_in(language)[key].format(**values)


def reason_in_words(language: str, reason: str) -> str:
    return text(language, reason) if reason in _TEXTS else reason


def magic_number(language: str, ending: str) -> str:
    return MAGIC_NUMBERS[ending][LANGUAGES.index(language)]


def grouped(language: str, number: int) -> str:
    """100 000 in French, 100,000 in English."""
    return f"{number:,}".replace(",", "\u00a0") if language == "fr" else f"{number:,}"


def money(amount: int) -> str:
    """XOF and XAF as the region writes them, with non-breaking spaces: 5 000 F CFA."""
    return f"{amount:,} F CFA".replace(",", "\u00a0").replace(" ", "\u00a0")


def accepted_language(header: str, default: str) -> str:
    """The best of our languages in an Accept-Language header."""
    accepted = []
    for position, part in enumerate(header.split(",")):
        tag, _, quality = part.strip().partition(";q=")
        language = tag.split("-")[0].lower()
        if language in LANGUAGES:
            accepted.append((-_quality(quality), position, language))
    return min(accepted)[2] if accepted else default


def _quality(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
