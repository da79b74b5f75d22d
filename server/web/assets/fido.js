// Lets forms speak with FIDO2 keys (Web Authentication). Without it, or without a key, codes do.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer ?? []))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
const credentials = (list) => list.map((one) => ({ ...one, id: bytes(one.id) }));

/** What the server wants signed: a challenge of its own for each try. */
async function challenge(form) {
  const answer = await fetch(form.dataset.challenge, { method: 'POST', headers: { 'X-Keyferry-CSRF': form.elements.csrf.value } });
  if (!answer.ok) throw new Error('the server gave no challenge');
  return answer.json();
}

async function create(form) {
  const options = await challenge(form);
  const { response } = await navigator.credentials.create({ publicKey: { ...options, challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) }, excludeCredentials: credentials(options.excludeCredentials) } });
  form.elements.transports.value = (response.getTransports?.() ?? []).join(',');
  form.elements.credential.value = [response.clientDataJSON, response.attestationObject].map(text).join('.');
}

async function get(form) {
  const options = await challenge(form);
  const { rawId, response } = await navigator.credentials.get({ publicKey: { ...options, challenge: bytes(options.challenge),
    allowCredentials: credentials(options.allowCredentials) } });
  form.elements[form.dataset.field].value = [rawId, response.clientDataJSON, response.authenticatorData, response.signature, response.userHandle].map(text).join('.');
}

function offer(form) {
  const part = form.querySelector('[data-fido-offer]');
  const button = part.querySelector('[data-fido-use]');
  const code = form.elements.code;
  const problem = (name) => { for (const line of part.querySelectorAll('[data-fido-problem]')) line.hidden = line.dataset.fidoProblem !== name; };
  part.hidden = false;
  for (const line of form.querySelectorAll('[data-fido-without]')) line.hidden = true;
  if (!window.PublicKeyCredential) {
    button.hidden = true;
    problem('unsupported');
    return;
  }
  let busy = false;
  const use = async () => {
    if (busy) return;
    if (code) code.required = false;
    if (!form.reportValidity()) return;
    busy = true;
    problem('');
    button.setAttribute('aria-busy', 'true');
    try {
      await (form.dataset.fido === 'create' ? create(form) : get(form));
      if (code) code.value = '';
      form.requestSubmit();
    } catch (error) {
      if (code) code.required = true;
      problem({ InvalidStateError: 'known', NotAllowedError: 'cancelled', AbortError: 'cancelled' }[error.name] ?? 'failed');
    } finally {
      busy = false;
      button.removeAttribute('aria-busy');
    }
  };
  button.addEventListener('click', use);
  // Enter in the field of the name asks the key too: without its answer there is nothing to send.
  if (form.dataset.fido === 'create') {
    form.addEventListener('submit', (event) => {
      if (form.elements.credential.value) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      use();
    }, true);
  }
}

document.querySelectorAll('form[data-fido]').forEach(offer);
