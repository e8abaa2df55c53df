/** The entry of the console's page. */
import { render } from "preact";

import "../shared/theme.css";
import "uplot/dist/uPlot.min.css";
import "../shared/board.css";
import "./console.css";
import { App } from "./app";

const place = document.getElementById("app");
if (place !== null) render(<App />, place);
