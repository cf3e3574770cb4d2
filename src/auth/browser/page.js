// Evaluated in a world of its own on each page of the sign-in service: resolves once the page shows an error and leaves nothing to fill in.
// A page that says what is wrong beside a field, such as a mistyped password, is still the person's.
new Promise((found) => {
  const fields = 'input:not([type=hidden],[type=submit],[type=button],[type=image],[type=reset]),select,textarea';
  const asks = () => [...document.querySelectorAll(fields)].some((field) => field.getClientRects().length > 0);
  const heading = () => (document.querySelector('h1,[role=heading]')?.innerText || document.title).trim();
  // Entra's error page carries its text in its configuration before it is drawn.
  const configured = () => {
    for (const script of document.scripts) {
      const text = /"strServiceExceptionMessage":("(?:[^"\\]|\\.)*")/.exec(script.textContent);
      if (text) { try { return JSON.parse(text[1]); } catch { /* not the configuration */ } }
    }
    return '';
  };
  const said = () => {
    const texts = [configured(), document.body ? document.body.innerText : ''];
    for (const text of texts) {
      const numbered = /AADSTS(\d{4,9})\b[^\n]*/.exec(text);
      if (numbered) return /AADSTS\d+\W*$/.test(numbered[0]) ? `AADSTS${numbered[1]}: ${heading()}` : numbered[0];
      const bare = /\berror code:?\s*(\d{5,9})\b/i.exec(text);
      if (bare) return `AADSTS${bare[1]}: ${heading()}`;
    }
    return '';
  };
  let due = false;
  const observer = new MutationObserver(() => {
    if (!due) { due = true; setTimeout(() => { due = false; look(); }, 100); }
  });
  const look = () => {
    const text = asks() ? '' : said();
    if (text) { observer.disconnect(); found({ origin: location.origin, text: text.slice(0, 4000) }); }
  };
  const begin = () => {
    observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
    look();
  };
  // What a person can fill in may be drawn until the load ends: a page that still loads is given a while.
  if (document.readyState === 'complete') begin(); else setTimeout(begin, 5000);
})
