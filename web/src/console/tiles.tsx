/** Figures side by side, each with a name and a few words. */
import type { JSX } from "preact";

export type Tile = [name: string, figure: string, more: string];

export function Tiles(props: { tiles: Tile[]; class?: string }): JSX.Element {
  return (
    <dl class={props.class ?? "tiles"}>
      {props.tiles.map(([name, figure, more]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {figure} <small>{more}</small>
          </dd>
        </div>
      ))}
    </dl>
  );
}
