// A page that Next renders on its server first, where the package is only imported.

import { useEffect } from "react";
import * as tunnel from "hvym-tunnel";

export default function Page() {
  useEffect(() => {
    import("../tell.js").then(({ tell }) => tell(() => ({ tunnel })));
  }, []);
  return <p>tunnel</p>;
}
