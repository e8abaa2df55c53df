/** What the pages of an operator are given. */
import type * as api from "./api";
import type { Polled } from "./polled";

export interface PageProps {
  session: api.Session;
  status: Polled<api.Status>;
}
