/** Where an operator or an owner signs in: by the operator's key, by a token that its identity signed, or by a wallet. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import * as api from "./api";
import { walletAddress, walletSignature } from "./wallet";

export function SignIn(props: { session: api.Session; onDone: () => void }): JSX.Element {
  const { session, onDone } = props;
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<string | undefined>();
  const attempt = (signIn: () => Promise<void>): void => {
    setBusy(true);
    setFailed(undefined);
    signIn()
      .then(onDone, (error: Error) => setFailed(error.message))
      .finally(() => setBusy(false));
  };
  const byWallet = async (): Promise<void> => {
    const address = await walletAddress();
    const text = await api.challenge();
    await api.signInBySignature({ text, address, signature: await walletSignature(text, address) });
  };
  return (
    <main class="sign-in">
      <h1>{session.domain}</h1>
      <p class="hint">The console of this relay, for its operator and for those who have agents here.</p>
      {location.protocol !== "https:" && !isSecureContext && <p class="notice">This page came without TLS: whoever is on the way can read the key.</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          attempt(() => api.signInByKey(key));
        }}
      >
        {/* For password managers, which want a name beside a password. */}
        <input class="visually-hidden" name="username" autocomplete="username" value={session.domain} readOnly tabIndex={-1} aria-hidden="true" />
        <label>
          {session.by_key ? "Operator's key, or a token of yours" : "A token of yours"}
          <input type="password" name="key" autocomplete="current-password" required value={key} aria-describedby={failed === undefined ? undefined : "sign-in-failed"} onInput={(event) => setKey(event.currentTarget.value)} />
        </label>
        <button type="submit" class="primary" disabled={busy}>
          Sign in
        </button>
      </form>
      <button type="button" disabled={busy} onClick={() => attempt(byWallet)}>
        Sign in with Freighter
      </button>
      <p class="hint">
        A token, on the machine of your agent: <code>hvym-tunnel token --audience {session.relay} --lifetime 60</code>
      </p>
      {failed !== undefined && (
        <p id="sign-in-failed" class="mistake" role="alert">
          {failed}
        </p>
      )}
    </main>
  );
}
