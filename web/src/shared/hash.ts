/** What follows `#` in the address, as it changes. */
import { useEffect, useState } from "preact/hooks";

const now = (): string => location.hash.slice(1);

export function useHash(): string {
  const [hash, setHash] = useState(now);
  useEffect(() => {
    const listener = (): void => setHash(now());
    addEventListener("hashchange", listener);
    // The address may have changed between the first drawing and now.
    listener();
    return () => removeEventListener("hashchange", listener);
  }, []);
  return hash;
}
