/** Keys that do something while nobody is typing. */
import { useLayoutEffect } from "preact/hooks";

export type Keys = Record<string, () => void>;

export function useKeys(keys: Keys): void {
  // At once: what is drawn is what the keys are for, also before a frame has passed.
  useLayoutEffect(() => {
    const listener = (event: KeyboardEvent): void => {
      // A dialog has keys of its own.
      if (document.querySelector("dialog[open]") !== null) return;
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      const target = event.target;
      const isTyping = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
      if (isTyping && event.key !== "Escape") return;
      const act = keys[event.key];
      if (act !== undefined) {
        event.preventDefault();
        act();
      }
    };
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  });
}
