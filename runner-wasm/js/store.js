// What the package keeps in the browser, by origin: keys, cookies, and which service a bridge leads to.

import { TunnelError } from "./error.js";

export const DATABASE = "hvym-tunnel";
const STORES = ["identities", "bridge"];

let opening;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => STORES.forEach((name) => request.result.createObjectStore(name));
    request.onsuccess = () => {
      const database = request.result;
      const forgetConnection = () => {
        opening = undefined;
      };
      // Whoever deletes the database waits for this connection.
      database.onversionchange = () => {
        database.close();
        forgetConnection();
      };
      database.onclose = forgetConnection;
      resolve(database);
    };
    request.onerror = () => {
      opening = undefined;
      reject(request.error);
    };
  });
  return opening;
}

/** Runs `operate(objectStore)` in one transaction; resolves to the result of the request that it returns. */
async function transact(store, mode, operate) {
  try {
    const transaction = (await open()).transaction(store, mode);
    return await new Promise((resolve, reject) => {
      const request = operate(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } catch (error) {
    const hint = "allow this site to store data; some private windows do not";
    throw new TunnelError("no_storage", `the browser keeps nothing for this page: ${error}`, hint);
  }
}

/** What is kept under `key`, or `undefined`. */
export function kept(store, key) {
  return transact(store, "readonly", (records) => records.get(key));
}

export function keep(store, key, value) {
  return transact(store, "readwrite", (records) => records.put(value, key));
}

/** Keeps `value` unless another tab was faster; resolves to what is kept. */
export async function keepFirst(store, key, value) {
  let first;
  await transact(store, "readwrite", (records) => {
    const request = records.get(key);
    request.onsuccess = () => {
      first = request.result ?? value;
      if (request.result === undefined) records.put(value, key);
    };
    return request;
  });
  return first;
}

export function drop(store, key) {
  return transact(store, "readwrite", (records) => records.delete(key));
}
