"""The fields of Gemini's messages that are known; any other is an error to the real API."""

from workers.provider_sim.names import names

REQUEST = names(
    "model contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent labels store "
    "serviceTier"
)
CONTENT = names("role parts")
PART = names(
    "text inlineData fileData functionCall functionResponse thought thoughtSignature executableCode "
    "codeExecutionResult videoMetadata mediaResolution partMetadata"
)
DATA = names("text inlineData fileData functionCall functionResponse executableCode codeExecutionResult")
"""Of which a part has exactly one."""
CALL = names("id name args")
RESPONSE = names("id name response parts scheduling willContinue")
GENERATION = names(
    "stopSequences responseMimeType responseSchema responseJsonSchema candidateCount maxOutputTokens temperature topP "
    "topK seed presencePenalty frequencyPenalty responseLogprobs logprobs responseModalities speechConfig "
    "thinkingConfig imageConfig mediaResolution enableEnhancedCivicAnswers audioTimestamp routingConfig"
)
THINKING = names("includeThoughts thinkingBudget thinkingLevel")
TOOL = names("functionDeclarations googleSearch googleSearchRetrieval codeExecution urlContext googleMaps computerUse")
DECLARATION = names("name description behavior parameters parametersJsonSchema response responseJsonSchema")
TOOL_CONFIG = names("functionCallingConfig retrievalConfig includeServerSideToolInvocations")
CALLING = names("mode allowedFunctionNames")
SCHEMA = names(
    "type format title description nullable enum maxItems minItems properties required minProperties maxProperties "
    "minLength maxLength pattern example anyOf propertyOrdering default items minimum maximum additionalProperties "
    "ref defs $ref $defs prefixItems"
)
EMBED = names("model content taskType title outputDimensionality embedContentConfig")
BATCH_EMBED = names("model requests")
