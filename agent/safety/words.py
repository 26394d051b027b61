"""Words on controls that name an effect, in ten languages, and whether a label has one of them.

The languages are English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Chinese and Japanese. Words are
compared as whole words; Chinese and Japanese, which have no spaces, as parts of the label.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "zh", "ja")
Words = dict[str, str]  # language: words and phrases, separated by commas

WORD_SETS: dict[str, Words] = {
    "pay": {
        "en": "pay, buy, purchase, donate, subscribe, place order, place your order, order now, submit order, "
        "confirm order, book now, book flight, book room, book hotel, complete booking, complete purchase, "
        "transfer, bid, place bid, top up, withdraw",
        "de": "bezahlen, bezahle, zahlen, kaufen, kaufe, zahlungspflichtig, bestellen, bestellung abschicken, spenden, "
        "abonnieren, überweisen, überweisung, jetzt buchen, kostenpflichtig, aufladen, abheben",
        "fr": "payer, payez, acheter, achetez, commander, passer la commande, valider la commande, faire un don, "
        "s'abonner, virement, virer, réserver maintenant, régler, retirer de l'argent",
        "es": "pagar, paga, comprar, compra ahora, realizar pedido, hacer pedido, donar, suscribirse, transferir, "
        "transferencia, reservar ahora, recargar",
        "it": "paga, pagare, acquista, acquistare, compra, comprare, ordina, effettua ordine, dona, abbonati, "
        "trasferisci, bonifico, prenota ora, ricarica",
        "pt": "pagar, pague, comprar, compre, finalizar compra, finalizar pedido, fazer pedido, doar, assinar agora, "
        "transferir, transferência, reservar agora, recarregar",
        "nl": "betalen, betaal, kopen, koop, bestellen, bestel, bestelling plaatsen, doneren, doneer, abonneren, "
        "overmaken, overboeken, nu boeken, opwaarderen",
        "pl": "zapłać, zapłacić, płacę, płacić, kup, kupuję, kupić, zamawiam, zamów, złóż zamówienie, "
        "zamówienie z obowiązkiem zapłaty, wpłać, przelej, przelew, subskrybuj, rezerwuj, doładuj, wypłać",
        "zh": "支付, 付款, 购买, 購買, 下单, 下單, 提交订单, 提交訂單, 结算, 結帳, 转账, 轉帳, 捐款, 订阅付费, 充值",
        "ja": "支払, お支払い, 購入, 注文を確定, 注文する, 振込, 送金, 寄付, 決済, 予約を確定",
    },
    "send": {
        "en": "send, reply, reply all, forward, e-mail now, send message, send now, submit message, share with",
        "de": "senden, absenden, abschicken, verschicken, versenden, antworten, allen antworten, weiterleiten",
        "fr": "envoyer, envoyez, répondre, répondre à tous, transférer le message, transférer",
        "es": "enviar, envía, enviar mensaje, responder, responder a todos, reenviar",
        "it": "invia, inviare, rispondi, rispondi a tutti, inoltra",
        "pt": "enviar, envie, responder, responder a todos, encaminhar, reencaminhar",
        "nl": "verzenden, verzend, versturen, verstuur, stuur, beantwoorden, allen beantwoorden, doorsturen",
        "pl": "wyślij, wysłać, prześlij, prześlij dalej, odpowiedz, odpowiedz wszystkim",
        "zh": "发送, 發送, 寄出, 传送, 傳送, 回复, 回覆, 转发, 轉寄",
        "ja": "送信, 返信, 転送",
    },
    "delete": {
        "en": "delete, remove, erase, discard, destroy, wipe, trash, empty trash, purge, factory reset, "
        "reset all, close account, deactivate, cancel order, cancel subscription, unsubscribe, overwrite, format disk",
        "de": "löschen, lösche, entfernen, verwerfen, papierkorb, papierkorb leeren, zurücksetzen, konto schließen, "
        "deaktivieren, kündigen, stornieren, überschreiben, formatieren",
        "fr": "supprimer, supprimez, effacer, retirer, jeter, corbeille, vider la corbeille, réinitialiser, "
        "fermer le compte, désactiver, résilier, annuler la commande, écraser, formater",
        "es": "eliminar, elimina, borrar, borra, quitar, descartar, papelera, vaciar papelera, restablecer, "
        "cerrar cuenta, desactivar, cancelar pedido, cancelar suscripción, sobrescribir, formatear",
        "it": "elimina, eliminare, cancella, cancellare, rimuovi, rimuovere, scarta, cestino, svuota cestino, "
        "ripristina, chiudi account, disattiva, disdici, annulla ordine, sovrascrivi, formatta",
        "pt": "excluir, eliminar, apagar, remover, descartar, lixeira, esvaziar lixeira, redefinir, "
        "encerrar conta, desativar, cancelar pedido, cancelar assinatura, substituir arquivo, formatar",
        "nl": "verwijderen, verwijder, wissen, wis, weggooien, prullenbak, prullenbak legen, resetten, "
        "account sluiten, deactiveren, opzeggen, bestelling annuleren, overschrijven, formatteren",
        "pl": "usuń, usunąć, skasuj, kasuj, wyczyść, odrzuć, kosz, opróżnij kosz, zresetuj, zamknij konto, "
        "dezaktywuj, anuluj zamówienie, wypowiedz umowę, nadpisz, sformatuj",
        "zh": "删除, 刪除, 移除, 清除, 清空, 丢弃, 捨棄, 废纸篓, 回收站, 垃圾桶, 重置, 注销账户, 取消订单, 取消訂單, "
        "覆盖, 格式化",
        "ja": "削除, 消去, 破棄, ゴミ箱, 取り除く, リセット, 退会, 解約, 注文をキャンセル, 上書き, 初期化",
    },
    "publish": {
        "en": "publish, post, post now, tweet, go live, broadcast, make public, release, deploy, merge, commit changes",
        "de": "veröffentlichen, posten, beitragen, öffentlich machen, freigeben, live gehen",
        "fr": "publier, publiez, poster, rendre public, diffuser, mettre en ligne",
        "es": "publicar, publica, postear, hacer público, difundir",
        "it": "pubblica, pubblicare, posta, rendi pubblico, diffondi",
        "pt": "publicar, publique, postar, tornar público, divulgar",
        "nl": "publiceren, publiceer, plaatsen, posten, openbaar maken",
        "pl": "opublikuj, publikuj, upublicznij, udostępnij publicznie",
        "zh": "发布, 發佈, 发表, 發表, 公开, 公開發布, 发帖, 上线",
        "ja": "公開, 投稿, 発行, 配信",
    },
    "grant": {
        "en": "allow, grant, authorize, authorise, approve, permit, give access, share access, invite, trust, "
        "add member, make admin, add ssh key, add key, while using the app, only this time",
        "de": "zulassen, erlauben, genehmigen, autorisieren, freigeben, zugriff gewähren, berechtigen, einladen, "
        "vertrauen",
        "fr": "autoriser, permettre, approuver, accorder, donner l'accès, inviter, faire confiance",
        "es": "permitir, autorizar, aprobar, conceder, dar acceso, invitar, confiar",
        "it": "consenti, autorizza, approva, concedi, permetti, dai accesso, invita, autorizzare",
        "pt": "permitir, autorizar, aprovar, conceder, dar acesso, convidar, confiar",
        "nl": "toestaan, autoriseren, goedkeuren, toegang geven, verlenen, uitnodigen, vertrouwen",
        "pl": "zezwól, zezwalaj, zezwolić, autoryzuj, zatwierdź, przyznaj, udziel dostępu, zaproś, zaufaj",
        "zh": "允许, 允許, 授权, 授權, 批准, 同意授权, 邀请, 邀請, 信任, 授予",
        "ja": "許可, 承認, 認可, 権限を付与, 招待, 信頼",
    },
    "install": {
        "en": "install, uninstall, update now, run anyway, open anyway, keep anyway, enable extension, add extension, "
        "add to chrome, sideload, download and run",
        "de": "installieren, deinstallieren, jetzt aktualisieren, trotzdem ausführen, trotzdem öffnen, "
        "erweiterung hinzufügen",
        "fr": "installer, désinstaller, mettre à jour maintenant, exécuter quand même, ajouter l'extension",
        "es": "instalar, desinstalar, actualizar ahora, ejecutar de todas formas, añadir extensión",
        "it": "installa, disinstalla, installare, aggiorna ora, esegui comunque, aggiungi estensione",
        "pt": "instalar, desinstalar, atualizar agora, executar mesmo assim, adicionar extensão",
        "nl": "installeren, installeer, verwijderen van app, nu bijwerken, toch uitvoeren, extensie toevoegen",
        "pl": "zainstaluj, instaluj, odinstaluj, zaktualizuj teraz, uruchom mimo to, dodaj rozszerzenie",
        "zh": "安装, 安裝, 卸载, 解除安裝, 立即更新, 仍要运行, 添加扩展程序",
        "ja": "インストール, アンインストール, 今すぐ更新, 拡張機能を追加",
    },
    "confirm": {
        "en": "ok, okay, yes, confirm, continue, proceed, accept, agree, i agree, done, apply, submit, leave",
        "de": "ok, ja, bestätigen, weiter, fortfahren, akzeptieren, annehmen, zustimmen, einverstanden, anwenden",
        "fr": "ok, oui, confirmer, continuer, accepter, d'accord, valider, j'accepte, appliquer",
        "es": "ok, sí, aceptar, confirmar, continuar, de acuerdo, aplicar, acepto",
        "it": "ok, sì, conferma, continua, accetta, procedi, d'accordo, applica",
        "pt": "ok, sim, confirmar, continuar, aceitar, concordo, aplicar, prosseguir",
        "nl": "ok, oké, ja, bevestigen, doorgaan, accepteren, akkoord, toepassen",
        "pl": "ok, tak, potwierdź, kontynuuj, akceptuj, zgadzam się, dalej, zastosuj",
        "zh": "确定, 確定, 确认, 確認, 是, 好的, 继续, 繼續, 同意, 接受",
        "ja": "はい, 確認, 確定, 続行, 同意, 了解, 承諾",
    },
    "password": {
        "en": "password, passcode, passphrase, pin, pin code, security answer, secret key, private key, seed phrase, "
        "recovery phrase, api key",
        "de": "passwort, kennwort, passphrase, pin, geheimzahl, sicherheitsantwort, privater schlüssel",
        "fr": "mot de passe, code pin, phrase secrète, clé privée, code secret",
        "es": "contraseña, clave, pin, frase de recuperación, clave privada",
        "it": "password, parola d'ordine, pin, codice segreto, chiave privata",
        "pt": "senha, palavra-passe, pin, chave privada, frase de recuperação",
        "nl": "wachtwoord, pincode, pin, geheime sleutel, herstelzin",
        "pl": "hasło, pin, kod pin, klucz prywatny",
        "zh": "密码, 密碼, 口令, 私钥, 私鑰, 助记词",
        "ja": "パスワード, 暗証番号, 秘密鍵",
    },
    "otp": {
        "en": "otp, one-time code, one time code, one-time password, verification code, security code sent, "
        "authentication code, authenticator code, 2fa code, two-factor code, sms code",
        "de": "einmalcode, einmalpasswort, bestätigungscode, verifizierungscode, tan, sms-code",
        "fr": "code à usage unique, code de vérification, code de validation, code sms",
        "es": "código de un solo uso, código de verificación, código sms",
        "it": "codice monouso, codice di verifica, codice sms",
        "pt": "código de uso único, código de verificação, código sms",
        "nl": "eenmalige code, verificatiecode, sms-code",
        "pl": "kod jednorazowy, kod weryfikacyjny, kod sms",
        "zh": "验证码, 驗證碼, 一次性密码, 动态码",
        "ja": "認証コード, ワンタイムパスワード, 確認コード",
    },
    "card": {
        "en": "card number, credit card, debit card, cvv, cvc, security code, expiry date, expiration date, iban, "
        "account number, sort code",
        "de": "kartennummer, kreditkarte, prüfnummer, kartenprüfnummer, ablaufdatum, iban, kontonummer",
        "fr": "numéro de carte, carte bancaire, carte de crédit, cryptogramme, date d'expiration, iban",
        "es": "número de tarjeta, tarjeta de crédito, código de seguridad, fecha de caducidad, iban",
        "it": "numero carta, numero di carta, carta di credito, codice di sicurezza, data di scadenza, iban",
        "pt": "número do cartão, cartão de crédito, código de segurança, data de validade, iban",
        "nl": "kaartnummer, creditcard, beveiligingscode, vervaldatum, iban, rekeningnummer",
        "pl": "numer karty, karta kredytowa, kod cvv, data ważności, iban, numer konta",
        "zh": "卡号, 卡號, 信用卡, 银行卡, 安全码, 有效期, 银行账号",
        "ja": "カード番号, クレジットカード, セキュリティコード, 有効期限, 口座番号",
    },
}
MAX_LABEL_CHARS = 20_000  # of a label; what follows is not searched
EFFECT_SETS = ("pay", "send", "delete", "publish", "grant", "install")

_TOKEN = re.compile(r"[^\W\d_]+")
# letters of other alphabets that look like Latin ones; only used in words that also have Latin letters, or alone
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһԛԝνοραιτкмнвηυ", "aeopcyxijsdhqwvopaitkmhbnu")


@lru_cache(maxsize=1000)
def tokenize(text: str) -> tuple[str, ...]:
    """Return the words of a label in lower case, without accents and invisible characters."""
    visible = "".join(
        c
        for c in unicodedata.normalize("NFKD", text)
        if unicodedata.category(c) not in ("Cf", "Mn", "Cc") or c in "\n\t\r"
    )
    tokens = _TOKEN.findall(_fold(visible))
    if len(tokens) > 1 and all(len(token) == 1 for token in tokens):
        return ("".join(tokens),)  # "P a y"
    return tuple(tokens)


def has_word(text: str, sets: Iterable[str]) -> str:
    """Return the first set of WORD_SETS of which the text has a word, "" if there is none."""
    text = text[:MAX_LABEL_CHARS]
    return next((name for name in sets if _has_word_of(text, name)), "")


@lru_cache(maxsize=2000)
def _has_word_of(text: str, name: str) -> bool:
    tokens = tokenize(text)
    latin = tuple(token.translate(_LOOKALIKES) for token in tokens)
    compact = _compact(text)
    phrases, parts = _compiled(name)
    if any(part in compact for part in parts):
        return True
    longest = max(map(len, phrases))
    runs = {
        words[start : start + width]
        for words in {tokens, latin}
        for width in range(1, longest + 1)
        for start in range(len(words) - width + 1)
    }
    return not phrases.isdisjoint(runs)


def _fold(text: str) -> str:
    return text.casefold().replace("ł", "l").replace("ø", "o")


@lru_cache(maxsize=1000)
def _compact(text: str) -> str:
    """Return a text without spaces and invisible characters, for languages that are written without spaces."""
    normalized = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in normalized if not c.isspace() and unicodedata.category(c) != "Cf")


@lru_cache
def _compiled(name: str) -> tuple[frozenset[tuple[str, ...]], frozenset[str]]:
    """Return the phrases of a set as tokens, and those that are searched as parts of a text."""
    phrases: set[tuple[str, ...]] = set()
    parts: set[str] = set()
    for language, text in WORD_SETS[name].items():
        words = [word.strip() for word in text.split(",")]
        if language in ("zh", "ja"):
            parts |= {_compact(word) for word in words}
        else:
            phrases |= {tokenize(word) for word in words}
    return frozenset(phrases), frozenset(parts)
