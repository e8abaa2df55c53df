/** The entry of the dashboard's page. */
import { render } from "preact";

import "../shared/theme.css";
import "uplot/dist/uPlot.min.css";
import "../shared/board.css";
import "./dashboard.css";
import "./settings/settings.css";
import { App } from "./app";

const place = document.getElementById("app");
if (place !== null) render(<App />, place);
