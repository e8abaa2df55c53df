/** When what came: the request, the wait, the response. */
import type { JSX } from "preact";

import { duration } from "../shared/format";
import type { Detail } from "./api";

export function Timing(props: { detail: Detail }): JSX.Element {
  const { request_ms, response_ms, end_ms } = props.detail.timing;
  const end = end_ms ?? response_ms ?? request_ms ?? 0;
  const begun = Math.min(response_ms ?? end, end);
  const sent = Math.min(request_ms ?? begun, begun);
  const parts: [string, number, number, string][] = [
    ["Request", 0, sent, "part-request"],
    ["Waiting", sent, begun, "part-wait"],
    ["Response", begun, end, "part-response"],
  ];
  return (
    <table class="timing">
      <tbody>
        {parts.map(([name, from, to, part]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="bar">
              <span class={part} style={{ marginLeft: `${percent(from, end)}%`, width: `${Math.max(percent(to - from, end), 0.5)}%` }} />
            </td>
            <td class="time">{duration(to - from)}</td>
          </tr>
        ))}
        <tr>
          <th scope="row">{end_ms === undefined ? "So far" : "In all"}</th>
          <td />
          <td class="time">{end_ms === undefined && response_ms === undefined ? "waiting" : duration(end)}</td>
        </tr>
      </tbody>
    </table>
  );
}

function percent(part: number, whole: number): number {
  return whole > 0 ? (part / whole) * 100 : 0;
}
