/** A part of the page with a title, and perhaps something to do beside it. */
import type { ComponentChildren, JSX } from "preact";

export function Section(props: { title: string; children: ComponentChildren; action?: JSX.Element }): JSX.Element {
  return (
    <section aria-label={props.title}>
      <div class="section-head">
        <h2>{props.title}</h2>
        {props.action}
      </div>
      {props.children}
    </section>
  );
}
