/** The wallet Freighter, by the messages that its extension takes from a page: enough to ask for an account and a signature. */

const REQUEST = "FREIGHTER_EXTERNAL_MSG_REQUEST";
const RESPONSE = "FREIGHTER_EXTERNAL_MSG_RESPONSE";
/** How long the extension may take to say that it is there, milliseconds. */
const PATIENCE = 2000;
/** The version of the interface: from 4 on a signature is text in base64. */
const API_VERSION = "4.0.0";

interface Reply {
  isConnected?: boolean;
  publicKey?: string;
  signedBlob?: unknown;
  signerAddress?: string;
  error?: string;
  apiError?: { message: string } | string;
}

function ask(type: string, more: object = {}, patience?: number): Promise<Reply> {
  const messageId = Date.now() + Math.random();
  return new Promise((resolve) => {
    const finish = (reply: Reply): void => {
      removeEventListener("message", listen);
      resolve(reply);
    };
    const listen = ({ source, data }: MessageEvent): void => {
      // The extension's spelling of the id.
      if (source === window && data?.source === RESPONSE && data.messagedId === messageId) finish(data as Reply);
    };
    addEventListener("message", listen);
    if (patience !== undefined) setTimeout(finish, patience, {});
    postMessage({ source: REQUEST, messageId, type, ...more }, location.origin);
  });
}

function check(reply: Reply): Reply {
  const error = reply.apiError ?? reply.error;
  if (error !== undefined && error !== "") throw new Error(typeof error === "string" ? error : error.message);
  return reply;
}

/** What the wallet's account is, once its person lets this page know. */
export async function walletAddress(): Promise<string> {
  const { isConnected } = await ask("REQUEST_CONNECTION_STATUS", {}, PATIENCE);
  if (isConnected !== true) throw new Error("This browser has no Freighter, or it is switched off.");
  const address = check(await ask("REQUEST_ACCESS")).publicKey ?? "";
  if (address === "") throw new Error("The wallet gave no account.");
  return address;
}

/** The signature of a text, in base64. */
export async function walletSignature(text: string, address: string): Promise<string> {
  const { signedBlob, signerAddress } = check(await ask("SUBMIT_BLOB", { blob: text, accountToSign: address, apiVersion: API_VERSION }));
  if (typeof signedBlob !== "string" || signedBlob === "") throw new Error("The wallet gave no signature.");
  if (signerAddress !== undefined && signerAddress !== "" && signerAddress !== address) throw new Error("The wallet signed by another account.");
  return signedBlob;
}
