/** Days and times of day, as the clock of this browser has them. */
import { clock } from "../shared/format";

const two = (value: number): string => String(value).padStart(2, "0");

/** Of seconds since 1970. */
export function moment(seconds: number): string {
  const date = new Date(seconds * 1000);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(seconds * 1000)}`;
}

/** Of a text in UTC, which may not say so. */
export function momentOf(text: string): string {
  const at = Date.parse(/Z|[+-]\d\d:\d\d$/.test(text) ? text : `${text}Z`);
  return Number.isNaN(at) ? text : moment(at / 1000);
}
