/** Whether a value is as the JSON schema of the settings says, and what is wrong with it in words. */
import type { Json, Section } from "../api";

export type Schema = Section;

/** The schema of a key, as in `health.interval` or `service.target`. */
export function schemaOf(root: Schema, key: string): Schema {
  let at = root;
  for (const step of key.split(".")) {
    const owner = resolved(root, (at["items"] as Schema | undefined) ?? at);
    at = member(member(owner, "properties"), step);
  }
  return { ...resolved(root, at), ...at };
}

function member(schema: Schema, name: string): Schema {
  return (schema[name] ?? {}) as Schema;
}

function resolved(root: Schema, schema: Schema): Schema {
  const path = schema["$ref"];
  if (typeof path !== "string") return schema;
  return path.slice(2).split("/").reduce((at, step) => member(at, step), root);
}

/** The words that a value may be, if it is one of some. */
export function choices(schema: Schema): string[] | undefined {
  const words = (schema["enum"] as Json[] | undefined) ?? (schema["oneOf"] as Schema[] | undefined)?.map((one) => one["const"] ?? null);
  return words?.every((word) => typeof word === "string") ? words : undefined;
}

/** What is wrong; nothing if it is right. What is `null` has its default. */
export function mistake(schema: Schema, value: Json): string | undefined {
  if (value === null) return undefined;
  const types = schema["type"] === undefined ? [] : Array.isArray(schema["type"]) ? schema["type"] : [schema["type"]];
  if (types.includes("integer") || types.includes("number")) return number(schema, value, types.includes("integer"));
  if (types.includes("array")) {
    if (!Array.isArray(value)) return "A list is needed.";
    if (value.length < Number(schema["minItems"] ?? 0)) return "At least one is needed.";
    const wrong = value.find((item) => mistake(schema["items"] as Schema, item) !== undefined);
    return wrong === undefined ? undefined : `${String(wrong)} is not of the form that is needed.`;
  }
  if (types.includes("boolean")) return typeof value === "boolean" ? undefined : "Yes or no is needed.";
  const words = choices(schema);
  if (words !== undefined) return words.includes(value as string) ? undefined : `One of ${words.join(", ")} is needed.`;
  const pattern = schema["pattern"];
  if (typeof pattern === "string" && !(typeof value === "string" && new RegExp(pattern, "u").test(value))) {
    return value === "" ? "This is needed." : "This is not of the form that is needed.";
  }
  return undefined;
}

function number(schema: Schema, value: Json, isWhole: boolean): string | undefined {
  const [least, most] = [schema["minimum"], schema["maximum"]];
  const isRight =
    typeof value === "number" &&
    Number.isFinite(value) &&
    (!isWhole || Number.isInteger(value)) &&
    (typeof least !== "number" || value >= least) &&
    (typeof most !== "number" || value <= most);
  const kind = isWhole ? "A whole number" : "A number";
  return isRight ? undefined : `${kind} from ${String(least)} to ${String(most)} is needed.`;
}
