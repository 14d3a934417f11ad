"""Languages that Whisper knows, and the tokens that stand for them.

Source: transformers 5.23, models/whisper/tokenization_whisper.py (`LANGUAGES`, `TO_LANGUAGE_CODE`).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import OptionError

_NAMES = (
    "en:english zh:chinese de:german es:spanish ru:russian ko:korean fr:french ja:japanese pt:portuguese tr:turkish "
    "pl:polish ca:catalan nl:dutch ar:arabic sv:swedish it:italian id:indonesian hi:hindi fi:finnish vi:vietnamese "
    "he:hebrew uk:ukrainian el:greek ms:malay cs:czech ro:romanian da:danish hu:hungarian ta:tamil no:norwegian "
    "th:thai ur:urdu hr:croatian bg:bulgarian lt:lithuanian la:latin mi:maori ml:malayalam cy:welsh sk:slovak "
    "te:telugu fa:persian lv:latvian bn:bengali sr:serbian az:azerbaijani sl:slovenian kn:kannada et:estonian "
    "mk:macedonian br:breton eu:basque is:icelandic hy:armenian ne:nepali mn:mongolian bs:bosnian kk:kazakh "
    "sq:albanian sw:swahili gl:galician mr:marathi pa:punjabi si:sinhala km:khmer sn:shona yo:yoruba so:somali "
    "af:afrikaans oc:occitan ka:georgian be:belarusian tg:tajik sd:sindhi gu:gujarati am:amharic yi:yiddish lo:lao "
    "uz:uzbek fo:faroese ht:haitian_creole ps:pashto tk:turkmen nn:nynorsk mt:maltese sa:sanskrit lb:luxembourgish "
    "my:myanmar bo:tibetan tl:tagalog mg:malagasy as:assamese tt:tatar haw:hawaiian ln:lingala ha:hausa ba:bashkir "
    "jw:javanese su:sundanese yue:cantonese"
)
_OTHER_NAMES = (
    "my:burmese ca:valencian nl:flemish ht:haitian lb:letzeburgesch ps:pushto pa:panjabi ro:moldavian ro:moldovan "
    "si:sinhalese es:castilian zh:mandarin"
)


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = (entry.split(":") for entry in text.split())
    return [(code, name.replace("_", " ")) for code, name in pairs]


LANGUAGES: Mapping[str, str] = dict(_pairs(_NAMES))
"""Code → name."""
_CODES: Mapping[str, str] = {name: code for code, name in _pairs(f"{_NAMES} {_OTHER_NAMES}")}


def language_id(language: str, lang_to_id: Mapping[str, int]) -> int:
    """The token id of a language.

    Args:
        language: a code (``"en"``), a name (``"english"``) or a token (``"<|en|>"``).
        lang_to_id: token → id, of the model's generation_config.json.

    Raises:
        OptionError: there is no such language, or the model does not know it.
    """
    if not isinstance(language, str):
        raise OptionError(f"language is {language!r}; a code such as 'en' or a name such as 'english' is needed.")
    wanted = language.lower()
    token = wanted if wanted in lang_to_id else f"<|{_CODES.get(wanted, wanted)}|>"
    if token not in lang_to_id:
        known = ", ".join(sorted(name.strip("<|>") for name in lang_to_id))
        raise OptionError(f"language is {language!r}; this model knows {known}.")
    return int(lang_to_id[token])
