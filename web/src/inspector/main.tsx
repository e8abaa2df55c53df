/** The entry of the inspector's page. */
import { render } from "preact";

import "../shared/theme.css";
import "./inspector.css";
import { App } from "./app";

const place = document.getElementById("app");
if (place !== null) render(<App />, place);
