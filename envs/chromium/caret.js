// Script that runs in every page before the page's own: the caret does not blink, so equal states give equal screenshots.
(() => {
  'use strict';

  const steady = new CSSStyleSheet();
  steady.replaceSync(':root { caret-animation: manual }');
  document.adoptedStyleSheets.push(steady);
})();
