// What pages of this origin have stored in the browser, which is of the person whose key opened them.

import { DATABASE } from "./store.js";

/** Removes all of it but the package's own database. What a page still holds open goes once that page is gone. */
export async function clearSiteData() {
  sessionStorage.clear();
  localStorage.clear();
  for (const pair of document.cookie.split("; ")) document.cookie = `${pair.split("=")[0]}=; Path=/; Max-Age=0`;
  const names = await caches.keys();
  const databases = (await indexedDB.databases()).filter(({ name }) => name !== DATABASE);
  const removals = [...names.map((name) => caches.delete(name)), ...databases.map(({ name }) => removeDatabase(name))];
  const folder = await navigator.storage.getDirectory();
  for await (const name of folder.keys()) removals.push(folder.removeEntry(name, { recursive: true }));
  // A file that another tab writes to is locked; the others go all the same.
  await Promise.allSettled(removals);
}

function removeDatabase(name) {
  return new Promise((resolve) => {
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = request.onerror = request.onblocked = resolve;
  });
}
