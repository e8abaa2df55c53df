/** The limits and how much of them is used, the options, and what is done with the relay as a whole. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { whole } from "../shared/format";
import { JsonTree } from "../shared/json";
import { Section } from "../shared/section";
import * as api from "./api";
import { told, usePolled } from "./polled";
import { Question } from "./question";

const REFRESH_MS = 5000;
/** What is used beyond which a limit is shown as nearly reached. */
const NEARLY = 0.8;

export function LimitsPage(): JSX.Element {
  const limits = usePolled(api.limits, REFRESH_MS);
  const config = usePolled(api.config, REFRESH_MS * 6);
  const [said, setSaid] = useState<string | undefined>();
  const [draining, setDraining] = useState(false);
  const reload = (): void => void api.reload().then(setSaid, (error: Error) => setSaid(told(error)));
  const actions = (
    <span class="actions">
      <button type="button" onClick={reload}>
        Reload
      </button>
      <button type="button" class="danger" onClick={() => setDraining(true)}>
        Drain
      </button>
    </span>
  );
  return (
    <>
      <Section title="Limits" action={actions}>
        <p class="said none" role="status">
          {said}
        </p>
        {limits.failed !== undefined && <p class="notice none">{limits.failed}</p>}
        {limits.value === undefined && limits.failed === undefined && <p class="hint none">Loading…</p>}
        {Object.entries(limits.value ?? {}).map(([name, limit]) => (
          <LimitLine key={name} name={name} limit={limit} />
        ))}
      </Section>
      <Section title="Options">
        <p class="hint none">As the relay was started. Files with secrets are named, not shown.</p>
        {config.failed !== undefined && <p class="notice none">{config.failed}</p>}
        {Object.entries(config.value ?? {}).map(([group, options]) => (
          <details class="group" key={group}>
            <summary>{group}</summary>
            <JsonTree value={options} />
          </details>
        ))}
      </Section>
      {draining && (
        <Question title="Drain this relay?" action="Drain" act={async () => setSaid(await api.drain())} onClose={() => setDraining(false)}>
          <p>It takes nothing new, tells its agents to go elsewhere, and ends when what is under way is over. Nothing here starts it again.</p>
        </Question>
      )}
    </>
  );
}

function LimitLine(props: { name: string; limit: api.Limit }): JSX.Element {
  const { name, limit } = props;
  const share = limit.max === null || limit.used === null || limit.max === 0 ? undefined : limit.used / limit.max;
  return (
    <div class="line limit">
      <code class="limit-name">{name}</code>
      {share !== undefined && <meter class="grow" min={0} max={1} high={NEARLY} value={share} aria-label={`Used of ${name}`} />}
      <span class={`numbers ${share !== undefined && share >= NEARLY ? "warn" : ""}`}>
        {limit.used === null ? "" : `${whole(limit.used)} of `}
        {limit.max === null ? "unlimited" : whole(limit.max)}
      </span>
    </div>
  );
}
