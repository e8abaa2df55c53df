// The wallet Freighter, by the messages that its extension takes from a page: enough to ask for an account and a signature.

const REQUEST = "FREIGHTER_EXTERNAL_MSG_REQUEST";
const RESPONSE = "FREIGHTER_EXTERNAL_MSG_RESPONSE";
/** How long the extension may take to say that it is there, milliseconds. */
const PATIENCE = 2000;
/** The version of the interface: from 4 on a signature is text in base64. */
const API_VERSION = "4.0.0";

function ask(type, more = {}, patience = undefined) {
  const messageId = Date.now() + Math.random();
  return new Promise((resolve) => {
    const finish = (answer) => {
      removeEventListener("message", listen);
      resolve(answer);
    };
    const listen = ({ source, data }) => {
      // The extension's spelling of the id.
      if (source === window && data?.source === RESPONSE && data.messagedId === messageId) finish(data);
    };
    addEventListener("message", listen);
    if (patience !== undefined) setTimeout(finish, patience, {});
    postMessage({ source: REQUEST, messageId, type, ...more }, location.origin);
  });
}

/** An extension that does not answer its own page any more, as after its update, gives a text alone. */
const errorOf = ({ apiError, error }) => apiError ?? error;

/** Whether the extension is there. */
export async function hasFreighter() {
  return Boolean((await ask("REQUEST_CONNECTION_STATUS", {}, PATIENCE)).isConnected);
}

/** What `Identity.fromWallet` takes, with the interface of the library of Freighter. */
export const freighter = {
  async getAddress() {
    const answer = await ask("REQUEST_ACCESS");
    return { address: answer.publicKey ?? "", error: errorOf(answer) };
  },
  async signMessage(message, { address }) {
    const answer = await ask("SUBMIT_BLOB", { blob: message, accountToSign: address, apiVersion: API_VERSION });
    return { signedMessage: answer.signedBlob ?? null, signerAddress: answer.signerAddress ?? "", error: errorOf(answer) };
  },
};
