"""Redaction of texts from FeexPay, an operator or a webhook sender, before they are stored or logged.

It is an allow-list, because no list can contain all names of people:

* A sentence keeps the words of `_VOCABULARY`: those of FeexPay's documented messages, and the usual words of payment
  refusals in English and French. Any other word, a name or an unknown code, becomes `•••`.
* Digits stay only if the text has at most three (operators' codes: 10, 92, 404). A phone number, an account or a
  one-time code has more, in any grouping and script.
* A piece that contains `@` or `://` is masked as a whole.
* An id stays only in FeexPay's formats; of any other id the last two characters stay, for comparison.

So a text of these words is kept in full, and contains no name.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import repeat

from django_feexpay.private import MASK, PrivateText

LONGEST_TEXT = 200
_MAX_DIGITS = 3
#: Above any mobile money payment, and below any phone number.
_LARGEST_AMOUNT = 10**7

_TOKENS = re.compile(r"[^\W\d_]+|[\W\d_]")
_PLAIN_SIGNS = frozenset(" .,:;!?'()/%&+-_#*")
_MASKS = re.compile(rf"\(?{MASK}(?:[ .,:;'()/%&+_#*-]*{MASK})*\)?")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# Celtiis writes AG_YYYYMMDD_<hex>.
_OPERATORS_ID = re.compile(r"AG_20[0-9]{6}_[0-9A-Fa-f]{8,40}")
_MASKED_ID = re.compile(rf"{MASK}[0-9A-Za-z]{{2}}")
_PAGE_NAME = re.compile(r"(?=[0-9A-Za-z_-]*[A-Za-z])[0-9A-Za-z_-]{4,64}")
_INSTANT = re.compile(r"20\d\d-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_SMALL_NUMBER = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,2})?")

# Four groups: FeexPay's documented messages, reasons and codes; operators and countries; kinds and states of payments;
# usual words of refusals in English, then in French.
_VOCABULARY = """
low balance or payee limit reached not allowed insufficient is funds payer found sender account active approval
rejected expired internal processing error failed feexlink network unavailable access denied invalid phone number
amount err transaction api key shop duplicate ip authorized payout enabled unauthorized forbidden missing reference
required rate exceeded history webhook configured merchant disabled channel cannot post get put delete url
introuvable validation accept accepted the service request successfully processed otp sent to customer successful
success pending in state timeout under maintenance address for this country usage link email description must be a
string an integer integers than less greater equal should property exist bad gateway undefined null true false code
message

feexpay mtn moov orange wave celtiis coris togocom tmoney mixx yas free mobicash airtel momo money mobile flooz visa
mastercard amex unionpay card wallet bank bj tg ci sn bf ml cg cm benin bénin togo senegal sénégal burkina faso mali
congo cote côte ivoire f xof xaf cfa fcfa franc francs

payment payments paiement paiements payin feex page paid unpaid cancel cancelled canceled cancellation reversed
reversal refund refunded chargeback declined refused refuse expire expiry initiated created started approved approve
confirmed confirm confirmation completed complete unknown hold on held blocked partial settled void voided aborted
suspended closed open queued waiting wait received new old json csv xlsx

and are as at been but by can check client contact could did do does due during enough exceeds from has have having
he her here his how if incorrect into it its later length limits long main maximum minimum more no of off once one
only operator operation our out over per perform permitted pin please problem reason retry same see server she short
since small so some something subscriber such support system technical temporarily temporary that their them then
there they times too try trying up us use user value was we went were what when which while will with within without
wrong yet you your daily monthly weekly day today balances password registered barred inactive locked dormant
subscription credit debit exists already another again available connection response answer session invalidated
format currency

abonné accepté actif activé annulé annulée après attente au aucun aucune autorisé autorisée aux avant avec avez
avoir bloqué bloquée ce cela ces cet cette compte composez confirmé connexion correct correcte dans date de délai
demande dépassé dépassée des désactivé deux dépôt disponible doit du durée échec échoué échouée effectué effectuée
elle en enregistré erreur est et être expiré expirée fonds incorrecte indisponible insuffisant insuffisante
insuffisants interne invalide jour journalier l d n s c m t j la le les limite lors maximal mauvais mensuel merci
minimal moins moment montant nouveau non nombre notre nous numéro opération opérateur ou par pas pendant plafond
plus possible pour pourquoi problème qu que qui quotidien rechargez refusé refusée réessayer réessayez réponse
requis requête réseau retrait sa sans se secret sera ses si solde son suffisant suspendu sur système téléphone
technique temporairement temps transfert trop trouvé trouvée un une utilisateur validé veuillez vérifier vérifiez
votre vous
"""


def safe_words(raw: object, limit: int = LONGEST_TEXT) -> str:
    """Redact a text to one printable line. "" for anything but a text or a number."""
    if isinstance(raw, bool) or not isinstance(raw, str | int):
        return ""
    text = PrivateText(unicodedata.normalize("NFKC", str(raw)[: 4 * limit]))
    text = PrivateText("".join(sign if sign.isprintable() else " " for sign in text))
    keeps_digits = sum(sign.isnumeric() for sign in text) <= _MAX_DIGITS
    pieces = map(_safe_piece, text.split(), repeat(keeps_digits))  # a comprehension would show a piece in a traceback
    return _MASKS.sub(MASK, " ".join(pieces))[:limit].strip()


def safe_id(raw: object) -> str:
    """An id in a format of FeexPay or an operator; of another id only the last two characters."""
    text = PrivateText(raw.strip() if isinstance(raw, str) else "")
    if not text or _UUID.fullmatch(text) or _OPERATORS_ID.fullmatch(text) or _MASKED_ID.fullmatch(text):
        return str(text)
    ending = text[-2:]
    return f"{MASK}{ending}" if len(text) >= 8 and ending.isascii() and ending.isalnum() else MASK


def safe_echo(raw: object) -> str | None:
    """Our attempt id as FeexPay returned it. None if it is missing, `•••` if it is not a UUID."""
    if not isinstance(raw, str) or not raw.strip():
        return None
    text = PrivateText(raw.strip())
    return str(text) if _UUID.fullmatch(text) else MASK


def safe_page_name(raw: object) -> str:
    """The name of a payment page, if it has the usual format, else ""."""
    return raw if isinstance(raw, str) and _PAGE_NAME.fullmatch(raw) else ""


def safe_instant(raw: object) -> str:
    """An ISO 8601 date or date and time, else ""."""
    return raw if isinstance(raw, str) and _INSTANT.fullmatch(raw) else ""


def safe_number(raw: object) -> object:
    """A number below 10 million, also as text: an amount or a count. Else ""."""
    if raw is None or isinstance(raw, bool):
        return raw
    if isinstance(raw, int | float):
        return raw if -_LARGEST_AMOUNT < raw < _LARGEST_AMOUNT else ""  # "" for NaN, too: a JSON column refuses it
    return str(raw) if isinstance(raw, str) and _SMALL_NUMBER.fullmatch(raw) else ""


def _safe_piece(piece: str, keeps_digits: bool) -> str:
    if "@" in piece or "://" in piece:
        return MASK
    return _MASKS.sub(MASK, "".join(_safe_token(match[0], keeps_digits) for match in _TOKENS.finditer(piece)))


def _safe_token(token: str, keeps_digits: bool) -> str:
    if token.isalpha():
        return token if _unaccented(token) in _PLAIN_VOCABULARY else MASK
    if token.isnumeric():
        return token if keeps_digits and token.isascii() else MASK
    return token if token in _PLAIN_SIGNS else MASK


def _unaccented(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


_PLAIN_VOCABULARY = frozenset(_unaccented(word) for word in _VOCABULARY.split())
