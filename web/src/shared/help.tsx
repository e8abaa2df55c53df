/** The keys of a page, listed. */
import type { JSX } from "preact";

import { Dialog } from "./dialog";

export function KeyHelp(props: { keys: [string, string][]; onClose: () => void }): JSX.Element {
  return (
    <Dialog title="Keys" onClose={props.onClose}>
      <table class="fields keys">
        <tbody>
          {props.keys.map(([keys, what]) => (
            <tr key={keys}>
              <th scope="row">
                {keys.split(" ").map((key) => (
                  <kbd key={key}>{key}</kbd>
                ))}
              </th>
              <td>{what}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Dialog>
  );
}
