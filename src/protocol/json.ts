import { z } from "zod";

/** Any JSON value, null included. */
export const Json = z.json();

/** The text of one JSON value. */
export const JsonText = z.string().refine((text) => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}, "is not JSON");
