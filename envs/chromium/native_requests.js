// Script that runs in every page: requests for what the browser asks in windows of its own are refused.
//
// No screenshot of the page shows such a window, and no click of the surface reaches it, so the page would wait for an
// answer without end. Each method answers as it does when a person refuses; the surface is told the kind of the request.
(() => {
  'use strict';

  const MAX_REPORTS = 20; // of a document: a page may ask in a loop
  const send = window.NATIVE_REQUEST_BINDING;
  delete window.NATIVE_REQUEST_BINDING;
  const resolvePath = (path) => path.split('.').reduce((value, name) => value?.[name], window);
  let reports = 0;

  function report(kind) {
    if (++reports <= MAX_REPORTS) send?.(kind)?.catch?.(() => {});
  }

  // Replaces a method, on its prototype where it has one. `answer` gets the arguments, and UNTOUCHED lets them pass.
  const UNTOUCHED = Symbol('untouched');
  function replace(path, name, kind, answer) {
    const owner = resolvePath(path);
    const original = owner?.[name];
    if (typeof original !== 'function') return;
    owner[name] = { [name](...args) {
      const result = answer.call(this, args);
      if (result === UNTOUCHED) return original.apply(this, args);
      report(kind);
      return result;
    } }[name];
  }

  const refusal = (errorName) => () => Promise.reject(new DOMException('The request was refused.', errorName));
  const notAllowed = refusal('NotAllowedError');
  const aborted = refusal('AbortError');
  const noDevice = refusal('NotFoundError');

  replace('Notification', 'requestPermission', 'notifications', ([callback]) => {
    if (typeof callback === 'function') callback('denied');
    return Promise.resolve('denied');
  });
  for (const name of ['getCurrentPosition', 'watchPosition']) {
    replace('Geolocation.prototype', name, 'location', ([, failed]) => {
      const error = { code: 1, message: 'User denied Geolocation', PERMISSION_DENIED: 1, POSITION_UNAVAILABLE: 2, TIMEOUT: 3 };
      if (typeof failed === 'function') queueMicrotask(() => failed(error));
      return name === 'watchPosition' ? 0 : undefined;
    });
  }
  replace('MediaDevices.prototype', 'getUserMedia', 'camera', notAllowed);
  replace('MediaDevices.prototype', 'getDisplayMedia', 'screen', notAllowed);
  for (const name of ['read', 'readText']) replace('Clipboard.prototype', name, 'clipboard', notAllowed);
  for (const name of ['showOpenFilePicker', 'showSaveFilePicker', 'showDirectoryPicker']) {
    replace('window', name, 'files', aborted);
  }
  replace('EyeDropper.prototype', 'open', 'color', aborted);
  replace('Navigator.prototype', 'share', 'share', aborted);
  replace('PaymentRequest.prototype', 'show', 'payment', aborted);
  for (const name of ['get', 'create']) {
    replace('CredentialsContainer.prototype', name, 'passkey', ([options]) => (
      ['publicKey', 'identity', 'otp', 'digital'].some((kind) => options?.[kind]) ? notAllowed() : UNTOUCHED));
  }
  for (const [path, name] of [['USB', 'requestDevice'], ['HID', 'requestDevice'], ['Serial', 'requestPort'],
    ['Bluetooth', 'requestDevice']]) replace(`${path}.prototype`, name, 'device', noDevice);
  replace('Navigator.prototype', 'requestMIDIAccess', 'device', notAllowed);
  replace('Element.prototype', 'requestPointerLock', 'pointer', function () { // clicks would have no place any more
    setTimeout(() => this.ownerDocument.dispatchEvent(new Event('pointerlockerror')));
    return notAllowed();
  });
  replace('HTMLVideoElement.prototype', 'requestPictureInPicture', 'window', notAllowed);
  replace('DocumentPictureInPicture.prototype', 'requestWindow', 'window', notAllowed);
  replace('window', 'queryLocalFonts', 'fonts', notAllowed);
  replace('window', 'getScreenDetails', 'screens', notAllowed);
  replace('IdleDetector', 'requestPermission', 'idle', () => Promise.resolve('denied'));
  replace('window', 'print', 'print', () => undefined);

  // An address of another program (mail, telephone): the browser would start it, or ask which one.
  const OWN_SCHEMES = /^(https?|about|blob|data|file|javascript|filesystem|view-source|chrome|chrome-error|devtools):/i;
  function reportProgram(url) {
    if (!OWN_SCHEMES.test(url)) report('program');
  }
  window.navigation?.addEventListener('navigate', (event) => reportProgram(event.destination.url));
  addEventListener('click', (event) => { // documents of an opaque origin have no `navigate` events
    const link = event.composedPath().find((node) => node instanceof HTMLAnchorElement || node instanceof HTMLAreaElement);
    if (link?.href && !event.defaultPrevented) reportProgram(link.href);
  });
})();
