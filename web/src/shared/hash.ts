/** What follows `#` in the address, as it changes. */
import { useLayoutEffect, useState } from "preact/hooks";

const now = (): string => location.hash.slice(1);

export function useHash(): string {
  const [hash, setHash] = useState(now);
  // At once: the address may change before the browser has drawn the page.
  useLayoutEffect(() => {
    const listener = (): void => setHash(now());
    addEventListener("hashchange", listener);
    return () => removeEventListener("hashchange", listener);
  }, []);
  return hash;
}
