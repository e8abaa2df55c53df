/**
 * Which requests are shown: words that must all be found in method, target, service, status or kind. `4xx` is a class of
 * statuses, and a word after a minus must not be found.
 */
import type { Summary } from "./api";

export function matcher(text: string): (request: Summary) => boolean {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== "" && word !== "-");
  return (request) => words.every((word) => (word.startsWith("-") ? !has(request, word.slice(1)) : has(request, word)));
}

function has(request: Summary, word: string): boolean {
  const statusClass = /^([1-5])xx$/.exec(word);
  if (statusClass !== null) return Math.floor((request.status ?? 0) / 100) === Number(statusClass[1]);
  const parts = [request.method, request.target, request.service, request.kind, request.progress, request.media_type];
  return String(request.status ?? "") === word || parts.some((part) => part?.toLowerCase().includes(word));
}
